"""Who asks: the network address of a request, the same one in logs and limits."""

import ipaddress
from collections.abc import Mapping
from typing import Any

UNKNOWN = "unknown"


def client_address(scope: Mapping[str, Any]) -> str:
    """The address that a request came from, as text; a trusted proxy's `X-Forwarded-For` is applied already.

    Args:
        scope: of the ASGI connection; a `Request` is one too.
    """
    client = scope.get("client")
    return str(client[0]) if client else UNKNOWN


def subject_of(address: str) -> str:
    """What limits count an address as: IPv6 by its first 64 bits, because one subscriber owns all the others."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4 or parsed.ipv4_mapped:
        return str(getattr(parsed, "ipv4_mapped", None) or parsed)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
