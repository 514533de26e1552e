"""TCP ports for runners: which are free on this machine, in which order they are tried."""

import socket
from collections.abc import Collection, Iterator


def is_free(port: int) -> bool:
    """Whether nobody listens on `port` of 127.0.0.1 (or of every address); found out by binding it."""
    with socket.socket() as probe:
        # Without this a connection of the last owner that is still closing would count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def list_candidates(first: int, last: int, *, used: Collection[int] = ()) -> Iterator[int]:
    """Ports from `first` to `last`, both included, lowest first: neither in `used` nor taken on this machine now.

    Lazy: each port is probed only when it is asked for. A port may be taken the moment after; the unique index on
    clients' ports decides between clients, and the reconciler says when another program came first.
    """
    for port in range(first, last + 1):
        if port not in used and is_free(port):
            yield port
