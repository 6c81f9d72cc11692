# ruff: noqa: RUF001 (look-alike characters are what is tested)
"""The URL policy: what must pass, what must not, and what holds for every text."""

from __future__ import annotations

import contextlib
import ipaddress
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from genjobs.domain.addresses import is_public, parse_address
from genjobs.domain.errors import UrlNotAllowed
from genjobs.domain.url_policy import UrlPolicy

POLICY = UrlPolicy()

ALLOWED = {
    "https://example.com/a.png": ("example.com", 443, "/a.png"),
    "HTTPS://EXAMPLE.COM/A.PNG": ("example.com", 443, "/A.PNG"),
    "http://example.com": ("example.com", 80, "/"),
    "http://example.com?x=1": ("example.com", 80, "/?x=1"),
    "http://example.com:80/": ("example.com", 80, "/"),
    "http://example.com:/": ("example.com", 80, "/"),
    "http://example.com:443/": ("example.com", 443, "/"),
    "https://example.com./": ("example.com", 443, "/"),
    "https://example.com/#top": ("example.com", 443, "/"),
    "https://my_bucket.s3.amazonaws.com/x": ("my_bucket.s3.amazonaws.com", 443, "/x"),
    "https://_dmarc.example.com/": ("_dmarc.example.com", 443, "/"),
    "https://r3---sn-4g5e6nez.googlevideo.com/v": ("r3---sn-4g5e6nez.googlevideo.com", 443, "/v"),
    "https://1.example.com/": ("1.example.com", 443, "/"),
    "https://1.2.3.4.example.com/": ("1.2.3.4.example.com", 443, "/"),
    "https://0x7f.example.com/": ("0x7f.example.com", 443, "/"),
    "https://3com.com/": ("3com.com", 443, "/"),
    "https://bücher.de/": ("xn--bcher-kva.de", 443, "/"),
    "https://BÜCHER.de/": ("xn--bcher-kva.de", 443, "/"),
    "https://bu\u0308cher.de/": ("xn--bcher-kva.de", 443, "/"),
    "https://xn--bcher-kva.de/": ("xn--bcher-kva.de", 443, "/"),
    "https://faß.de/": ("xn--fa-hia.de", 443, "/"),
    "https://例え.jp/": ("xn--r8jz45g.jp", 443, "/"),
    "https://例え。jp/": ("xn--r8jz45g.jp", 443, "/"),
    "https://παράδειγμα.ελ/": ("xn--hxajbheg2az3al.xn--qxam", 443, "/"),
    "https://exa_mple.bücher.de/": ("exa_mple.xn--bcher-kva.de", 443, "/"),
    "https://xn--i-7iq.ws/": ("xn--i-7iq.ws", 443, "/"),
    "https://coração.com.br/": ("xn--corao-dra1a.com.br", 443, "/"),
    "https://metadata.google.com/": ("metadata.google.com", 443, "/"),
    "https://localhost.example.com/": ("localhost.example.com", 443, "/"),
    "https://example.travelersinsurance/": ("example.travelersinsurance", 443, "/"),
    "https://127.0.0.1.example.com/": ("127.0.0.1.example.com", 443, "/"),
    "https://127-0-0-1.example.com/": ("127-0-0-1.example.com", 443, "/"),
    "https://" + ".".join(["a" * 63] * 3 + ["b" * 57, "com"]) + "./": (
        ".".join(["a" * 63] * 3 + ["b" * 57, "com"]),
        443,
        "/",
    ),
    "https://example.com?": ("example.com", 443, "/?"),
    "https://example.com?@127.0.0.1/": ("example.com", 443, "/?@127.0.0.1/"),
    "https://example.com/a;b;?c;": ("example.com", 443, "/a;b;?c;"),
    'https://example.com/[a]?q={"n":[1]}|<x>^`': (
        "example.com",
        443,
        '/[a]?q={"n":[1]}|<x>^`',
    ),
    "http://8.8.8.8/": ("8.8.8.8", 80, "/"),
    "http://[2606:4700:4700::1111]/": ("2606:4700:4700::1111", 80, "/"),
    "https://[2606:4700:4700:0:0:0:0:1111]:443/": ("2606:4700:4700::1111", 443, "/"),
    "https://b.s3.amazonaws.com/a%2Fb%20c+d?X-Amz-Signature=ab%2f/+==&x=1;2&y=a|b&z=~(1),'!*$@:": (
        "b.s3.amazonaws.com",
        443,
        "/a%2Fb%20c+d?X-Amz-Signature=ab%2f/+==&x=1;2&y=a|b&z=~(1),'!*$@:",
    ),
    "https://example.com/@user/1:2//3/../4?u=http://127.0.0.1/&e=a@b": (
        "example.com",
        443,
        "/@user/1:2//3/../4?u=http://127.0.0.1/&e=a@b",
    ),
    "https://example.com/100%": ("example.com", 443, "/100%"),
    "https://example.com/maçã.png?q=é": ("example.com", 443, "/ma%C3%A7%C3%A3.png?q=%C3%A9"),
    "https://example.com/" + "a" * 8000: ("example.com", 443, "/" + "a" * 8000),
}

REFUSED = [
    "",
    "/a.png",
    "//example.com/a",
    "example.com/a",
    "https:example.com",
    "https:/example.com",
    "https:///example.com",
    "http://",
    "http://?",
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://example.com/",
    "data:image/png;base64,AA",
    "javascript:alert(1)",
    "ws://example.com/",
    "httpss://example.com/",
    " https://example.com/",
    "https://example.com/ ",
    "https://example.com/a b",
    "https://exam\tple.com/",
    "https://example.com/\n",
    "https://example.com\\@127.0.0.1/",
    "https://example.com/a\\b",
    "https://example.com/\x00",
    "https://example.com/\x7f",
    "https://example.com/\u0085",
    "https://example.com/\u00a0",
    "https://example.com/\u2028",
    "https://example.com/\ud800",
    "https://user@example.com/",
    "https://user:secret@example.com/",
    "https://@example.com/",
    "https://example.com%2f@127.0.0.1/",
    "https://example%2ecom/",
    "https://%31%32%37.0.0.1/",
    "https://example.com:22/",
    "https://example.com:8080/",
    "https://example.com:0/",
    "https://example.com:99999/",
    "https://example.com:+80/",
    "https://example.com:８０/",
    "https://example.com:80:80/",
    "https://example.com:http/",
    "https://example.com:-1/",
    "https://example..com/",
    "https://.example.com/",
    "https://example.com../",
    "https://-example.com/",
    "https://example-.com/",
    "https://exa*mple.com/",
    "https://exa,mple.com/",
    "https://" + "a" * 64 + ".com/",
    "https://" + "a." * 127 + "com/",
    "https://example.com/" + "a" * 8192,
    "http://localhost/",
    "http://LOCALHOST/",
    "http://localhost./",
    "http://foo.localhost/",
    "http://printer/",
    "http://printer.local/",
    "http://metadata.google.internal/",
    "http://METADATA.GOOGLE.INTERNAL./",
    "http://router.home.arpa/",
    "http://1.0.0.127.in-addr.arpa/",
    "http://a.test/",
    "http://a.example/",
    "http://a.invalid/",
    "http://a.onion/",
    "http://nas.lan/",
    "http://ⓔⓧⓐⓜⓟⓛⓔ.com/",
    "http://ｅｘａｍｐｌｅ.com/",
    "http://exam℡.com/",
    "http://loc\u00adalhost/",
    "http://\u0300abc.com/",
    "http://example\u2024com/",
    "http://metadata.goog/",
    "http://a.metadata.goog./",
    "http://kubernetes.default.svc/",
    "http://localhost6.localdomain6/",
    "https://" + ".".join(["a" * 63] * 3 + ["b" * 58, "com"]) + "/",
    "http:///127.0.0.1/",
    "http:////127.0.0.1/",
    "http://127.0.0.1\u2044a.com@example.com/",
    "https://example.com:0443443/",
]

NUMBERS = [
    "127.0.0.1",
    "127.1",
    "127.0.0.1.",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "127.0.0.01",
    "8.8.8",
    "8.8.8.8.",
    "08.8.8.8",
    "8.8.8.0x8",
    "256.1.1.1",
    "8.8.8.8.8",
    "127。0。0。1",
    "１２７.0.0.1",
    "①②⑦.⓪.⓪.①",
    "١٢٧.٠.٠.١",
    "127.0.0.१",
    "foo.0x",
    "example.1",
    "0",
    "169.254.169.254",
    "168.63.129.16",
    "100.100.100.200",
    "192.0.0.192",
    "10.0.0.1",
    "255.255.255.255",
    "[::1]",
    "[::]",
    "[::ffff:8.8.8.8]",
    "[::ffff:127.0.0.1]",
    "[::127.0.0.1]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::8.8.8.8]",
    "[64:ff9b:1::7f00:1]",
    "[fe80::1]",
    "[fe80::1%25eth0]",
    "[fe80::1%eth0]",
    "[2606:4700::1%eth0]",
    "[fd00:ec2::254]",
    "[fec0::1]",
    "[ff02::1]",
    "[100::1]",
    "[2001:db8::1]",
    "[2001::1]",
    "[2002:7f00:1::]",
    "[3fff::1]",
    "[4000::1]",
    "[5f00::1]",
    "[2606:4700:0:1:0:5efe:7f00:1]",
    "[2606:4700:0:1:200:5efe:808:808]",
    "[2606:4700::127.0.0.1]",
    "[2606:4700::a9fe:a9fe]",
    "[::1",
    "::1",
    "[]",
    "[v1.a]",
    "[8.8.8.8]",
    "[2606:4700::1]x",
    "x[2606:4700::1]",
]


@pytest.mark.parametrize(("text", "parts"), ALLOWED.items())
def test_legal_url_passes_with_its_parts(text: str, parts: tuple[str, int, str]) -> None:
    url = POLICY.parse(text)
    assert (url.host, url.port, url.target) == parts


@pytest.mark.parametrize("text", REFUSED)
def test_url_is_refused(text: str) -> None:
    with pytest.raises(UrlNotAllowed):
        POLICY.parse(text)


@pytest.mark.parametrize("host", NUMBERS)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_address_in_any_spelling_is_refused(scheme: str, host: str) -> None:
    with pytest.raises(UrlNotAllowed) as caught:
        POLICY.parse(f"{scheme}://{host}/latest/meta-data")
    assert host not in caught.value.message


def test_host_header_keeps_the_name_and_an_unusual_port() -> None:
    assert POLICY.parse("https://EXAMPLE.com:443/").authority == "example.com"
    assert POLICY.parse("https://example.com:80/").authority == "example.com:80"
    assert POLICY.parse("http://[2606:4700::1]:443/").authority == "[2606:4700::1]:443"


def test_ports_are_a_matter_of_configuration() -> None:
    policy = UrlPolicy(ports=frozenset({443, 8443}))
    assert policy.parse("https://example.com:8443/").port == 8443
    with pytest.raises(UrlNotAllowed):
        policy.parse("http://example.com/")


def test_secrets_are_not_in_what_gets_logged() -> None:
    url = POLICY.parse("https://example.com/private?signature=abc")
    assert "private" not in repr(url)
    assert "abc" not in f"{url!r} {url.origin}"


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/b", "https://example.com/b"),
        ("b?x=1", "https://example.com/dir/b?x=1"),
        ("../b", "https://example.com/b"),
        ("?y", "https://example.com/dir/a?y"),
        ("/b;", "https://example.com/b;"),
        ("b?", "https://example.com/dir/b?"),
        ("#top", "https://example.com/dir/a"),
        ("//bücher.de/b", "https://xn--bcher-kva.de/b"),
        ("//cdn.example.org/b", "https://cdn.example.org/b"),
        ("http://example.org/b", "http://example.org/b"),
        ("https://example.org/maçã", "https://example.org/ma%C3%A7%C3%A3"),
    ],
)
def test_redirect_is_resolved_against_its_base(location: str, target: str) -> None:
    assert str(POLICY.join(POLICY.parse("https://example.com/dir/a"), location)) == target


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1/",
        "//127.0.0.1/",
        "//localhost/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "ftp://example.com/",
        "https://user@example.com/",
        "//[::1]/",
        "//[::1",
        "///127.0.0.1/",
        "http:///127.0.0.1/",
        "https:127.0.0.1",
        "mailto:a@example.com",
        "/a b",
        "/a\tb",
        "\\\\127.0.0.1\\",
        "https://example.com:22/",
        "http://2130706433/",
    ],
)
def test_redirect_is_judged_like_any_url(location: str) -> None:
    with pytest.raises(UrlNotAllowed):
        POLICY.join(POLICY.parse("https://example.com/"), location)


def test_one_bad_answer_refuses_the_name() -> None:
    assert [str(a) for a in POLICY.check_answers(["8.8.8.8", "2606:4700::1111", "8.8.8.8"])] == [
        "8.8.8.8",
        "2606:4700::1111",
    ]
    for answers in (
        ["8.8.8.8", "127.0.0.1"],
        ["8.8.8.8", "fe80::1%eth0"],
        ["8.8.8.8", "nonsense"],
        [],
    ):
        with pytest.raises(UrlNotAllowed):
            POLICY.check_answers(answers)


@pytest.mark.parametrize(
    "text",
    [
        "1.1.1.1",
        "8.8.4.4",
        "100.63.255.255",
        "100.128.0.1",
        "172.15.255.255",
        "172.32.0.1",
        "192.0.1.1",
        "192.1.0.1",
        "198.17.255.255",
        "198.20.0.1",
        "168.63.129.17",
        "223.255.255.255",
        "9.255.255.255",
        "11.0.0.1",
        "2001:4860:4860::8888",
        "2001:200::1",
        "2400:cb00:2048:1::c629:d7a2",
        "2607:f8b0:4004:c07::66",
        "2a03:2880:f12d:83:face:b00c:0:25de",
        "2a00:1450:4001:81b::200e",
        "2600:1fa0:8080:3a69:34d8:5a2e::",
        "3ffe::1",
    ],
)
def test_address_beside_a_refused_block_is_public(text: str) -> None:
    assert is_public(parse_address(text))


@given(st.text(max_size=60))
@example("http://[::1]:80")
def test_any_text_is_a_public_url_or_refused(text: str) -> None:
    for candidate in (text, f"http://{text}", f"https://{text}/x", f"http://example.com/{text}"):
        try:
            url = POLICY.parse(candidate)
        except UrlNotAllowed:
            continue
        assert url.host.isascii()
        assert url.port in {80, 443}
        assert url.target.isascii()
        assert url.target.startswith("/")
        assert url.address is None or is_public(url.address)
        again = POLICY.parse(str(url))
        assert (again.host, again.port, again.target) == (url.host, url.port, url.target)


def test_long_text_is_judged_at_once() -> None:
    started = time.perf_counter()
    for text in (
        "https://" + "".join(chr(0x4E00 + n) for n in range(8000)) + ".com/",
        "https://" + "\u00fc." * 4000,
        "https://" + "a." * 4000,
        "https://" + "[" * 8000,
        "https://example.com/" + "../" * 2700 + "\u00e9",
        "https://" + "1." * 4000,
    ):
        with contextlib.suppress(UrlNotAllowed):
            POLICY.parse(text)
    assert time.perf_counter() - started < 1


@given(st.ip_addresses(v=4))
def test_ipv4_that_the_registries_keep_is_refused(address: ipaddress.IPv4Address) -> None:
    # What every Python version agrees on; the table is stricter.
    if address.is_private or address.is_multicast or address.is_reserved or address.is_loopback:
        assert not is_public(address) or str(address) in {"192.0.0.9", "192.0.0.10"}


@given(st.ip_addresses(v=6))
def test_ipv6_outside_the_unicast_block_is_refused(address: ipaddress.IPv6Address) -> None:
    assert is_public(address) <= (int(address) >> 125 == 1)


@given(st.integers(0, 2**32 - 1), st.sampled_from(["::", "::ffff:", "64:ff9b::", "2606:4700::"]))
def test_private_ipv4_is_found_inside_ipv6(number: int, prefix: str) -> None:
    inside = ipaddress.IPv4Address(number)
    outside = parse_address(f"{prefix}{inside}")
    if inside.is_loopback or inside.is_link_local or inside in ipaddress.ip_network("10.0.0.0/8"):
        assert not is_public(outside)
