"""Whether an address is this machine's own. Until processes authenticate each other, nothing else is talked to."""

import ipaddress
from collections.abc import Iterable

from chopar.errors import ConfigurationError


def is_loopback(address: str) -> bool:
    """Whether `host:port` (or a bare host) is loopback: 127.0.0.0/8, ::1 or the name localhost.

    Other names count as foreign, whatever they resolve to today.
    """
    host = address.strip()
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def require_loopback(addresses: Iterable[str], insecure: bool, what: str = "broker") -> None:
    """Refuse addresses that are not loopback.

    Args:
        addresses: `host:port` each.
        insecure: the operator has said that it may be otherwise.
        what: what lies there, for the message.

    Raises:
        ConfigurationError: one is not loopback and `insecure` is not set.
    """
    if insecure:
        return
    for address in addresses:
        if not is_loopback(address):
            raise ConfigurationError(
                f"{what} {address}: not a loopback address, and nobody is authenticated yet; "
                "use 127.0.0.1, or allow it with --insecure on a network that you trust"
            )
