"""The address table at the edges of every block."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest

from genjobs.domain.addresses import is_public

#: Typed from the registries, not from the table under test.
IPV4 = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "168.63.129.16/32",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.31.196.0/24",
    "192.52.193.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "192.175.48.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
]
IPV6 = ["2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20"]


@pytest.mark.parametrize("block", IPV4)
def test_ipv4_block_is_refused_to_its_edges_and_no_further(block: str) -> None:
    network = ip_network(block)
    first, last = int(network[0]), int(network[-1])
    assert not is_public(IPv4Address(first))
    assert not is_public(IPv4Address(last))
    neighbours = {IPv4Address(n) for n in (first - 1, last + 1) if 0 <= n < 2**32}
    refused = {n for n in neighbours if any(n in ip_network(other) for other in IPV4)}
    assert all(is_public(neighbour) for neighbour in neighbours - refused)


@pytest.mark.parametrize("block", IPV6)
def test_ipv6_block_is_refused_to_its_edges_and_no_further(block: str) -> None:
    network = ip_network(block)
    first, last = int(network[0]), int(network[-1])
    assert not is_public(IPv6Address(first))
    assert not is_public(IPv6Address(last))
    # Not the very next one: its interface identifier would be that of an embedded 0.0.0.0.
    assert is_public(IPv6Address(last + 1 + 0x0808_0808)) or block == "3fff::/20"
    assert is_public(IPv6Address(first - 1)) or block == "2001::/23"


@pytest.mark.parametrize("text", ["1fff:ffff::1", "2000::808:808", "3ffe::1", "3fff:1000::1"])
def test_unicast_block_has_its_edges(text: str) -> None:
    assert is_public(IPv6Address(text)) == (text != "1fff:ffff::1")
