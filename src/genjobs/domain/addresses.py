"""
The address table: which IP addresses a server of ours may contact for a customer.

One table of our own, since ``ipaddress.is_global`` answers differently between Python versions.
Names and URLs are in ``url_policy``; looking names up is an adapter's.

Sources: IANA IPv4 and IPv6 Special-Purpose Address Registries, IPv6 Global Unicast Address
Assignments, RFC 5214 (ISATAP), and the metadata addresses that cloud vendors document.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

IPAddress = IPv4Address | IPv6Address

_IPV4_REFUSED: Final = tuple(
    IPv4Network(block)
    for block in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private use
        "100.64.0.0/10",  # carrier-grade NAT; also 100.100.100.200, Alibaba Cloud's metadata
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's WireServer: a public number that every machine reaches
        "169.254.0.0/16",  # link-local: metadata of most clouds
        "172.16.0.0/12",  # private use
        "192.0.0.0/24",  # protocol assignments; also 192.0.0.192, Oracle Cloud's metadata
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays, deprecated
        "192.168.0.0/16",  # private use
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and limited broadcast
    )
)
#: All that IANA has given out for unicast. Outside of it lie loopback, mapped, compatible and
#: translated IPv4, NAT64 (64:ff9b::), unique local, link-local, site-local and multicast.
_IPV6_UNICAST: Final = IPv6Network("2000::/3")
_IPV6_REFUSED: Final = tuple(
    IPv6Network(block)
    for block in (
        "2001::/23",  # protocol assignments; also Teredo
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: carries an IPv4 address
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)
#: Blocks that an operator's own translation prefix could lead to (RFC 6052, a /96 prefix). Only
#: these: small numbers are ordinary interface identifiers (``2001:4860:4860::8888``).
_IPV4_INSIDE: Final = tuple(
    IPv4Network(block)
    for block in (
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.168.0.0/16",
    )
)
_ISATAP: Final = frozenset({0x00005EFE, 0x02005EFE})  # RFC 5214 section 6.1
_LOW_32: Final = 0xFFFF_FFFF


def parse_address(text: str) -> IPAddress:
    """Return an address without a zone id; ``ValueError`` for anything else."""
    if "%" in text:
        raise ValueError("an address with a zone is local to a link")
    return ip_address(text)


def is_public(address: IPAddress) -> bool:
    """Return whether ``address`` is an ordinary host of the public Internet."""
    if isinstance(address, IPv4Address):
        return not any(address in block for block in _IPV4_REFUSED)
    return (
        address.scope_id is None
        and address in _IPV6_UNICAST
        and not any(address in block for block in _IPV6_REFUSED)
        and not _holds_private_ipv4(address)
    )


def _holds_private_ipv4(address: IPv6Address) -> bool:
    number = int(address)
    upper = number >> 32 & _LOW_32  # of the interface identifier
    if upper in _ISATAP:
        return True
    inside = IPv4Address(number & _LOW_32)
    return upper == 0 and any(inside in block for block in _IPV4_INSIDE)
