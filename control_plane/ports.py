"""TCP ports of this machine."""

import socket


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


def find_free() -> int:
    """A port that nobody listened on a moment ago, for a listener that lives shortly."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
