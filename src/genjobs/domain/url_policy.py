"""
Which URLs of a customer may be fetched: one strict parser, and the rules for names and ports.

Pure functions. Addresses are judged in ``addresses``; looking names up and dialling is the
``UrlFetcher`` port's. Whoever fetches uses the parts of :class:`Url` and never parses the text
again: two parsers that read one URL differently are how such guards are walked around.

Grammar: RFC 3986; host names: RFC 1123 with underscores, and those of other scripts by ``idn``;
special names: IANA Special-Use Domain Names.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final
from urllib.parse import quote

from genjobs.domain.addresses import IPAddress, is_public, parse_address
from genjobs.domain.errors import UrlNotAllowed
from genjobs.domain.idn import DOTS, MAX_LABEL, ascii_label, is_number
from genjobs.domain.url_references import resolve_reference

_URL: Final = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)"
    r"(?P<path>[^?#]*)(?P<query>\?[^#]*)?(?:#.*)?",
    re.ASCII,
)
_AUTHORITY: Final = re.compile(r"(?:\[(?P<ipv6>[^\[\]]*)\]|(?P<name>[^\[\]:]*))(?::(?P<port>.*))?")
_PORT: Final = re.compile(r"[0-9]{0,5}", re.ASCII)
_LABEL: Final = re.compile(rf"[a-z0-9_](?:[a-z0-9_-]{{0,{MAX_LABEL - 2}}}[a-z0-9_])?", re.ASCII)
_NUMERIC: Final = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
_OCTET: Final = r"(?:0|[1-9][0-9]{0,2})"
_DOTTED_QUAD: Final = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}", re.ASCII)
_DOTS: Final = re.compile(f"[{DOTS}]")
_MAX_HOST: Final = 253
_MAX_WRITTEN_HOST: Final = 4 * _MAX_HOST  # a letter can be written as itself and three marks
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_VISIBLE_ASCII: Final = "".join(map(chr, range(0x21, 0x7F)))

#: Names that are not of the public Internet, with all below them: special-use ones, those that
#: private networks use for themselves, and the metadata services of clouds.
_REFUSED_SUFFIXES: Final = frozenset(
    {
        "alt",
        "arpa",
        "corp",
        "example",
        "home",
        "internal",
        "intranet",
        "invalid",
        "lan",
        "local",
        "localdomain",
        "localdomain6",
        "localhost",
        "metadata.goog",
        "metadata.packet.net",
        "metadata.platformequinix.com",
        "metadata.tencentyun.com",
        "onion",
        "private",
        "svc",
        "test",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Url:
    """A URL that the policy allows, in the parts that a request is made of."""

    scheme: str
    #: Lower-case ASCII, without a trailing dot; an address without brackets.
    host: str
    port: int
    #: Path and query as they go on the wire.
    target: str
    #: When the host is an address and not a name.
    address: IPAddress | None

    @property
    def authority(self) -> str:
        """What the ``Host`` header says: the port only when it is not the scheme's own."""
        host = f"[{self.host}]" if isinstance(self.address, IPv6Address) else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """Scheme and authority: what may be logged. The rest can be a secret."""
        return f"{self.scheme}://{self.authority}"

    def __repr__(self) -> str:
        return f"Url({self.origin}/…)"

    def __str__(self) -> str:
        return f"{self.origin}{self.target}"


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlPolicy:
    """The rules; ``UrlPolicy()`` is the safe default."""

    #: Ports that may be named or implied.
    ports: frozenset[int] = field(default_factory=lambda: frozenset(_DEFAULT_PORTS.values()))
    #: Characters.
    max_length: int = 8192

    def parse(self, text: str) -> Url:
        """
        Return ``text`` as a URL that may be looked up; what is looked up is judged separately.

        Raises:
            UrlNotAllowed: its message names the rule, for the one who wrote the URL.
        """
        if len(text) > self.max_length:
            raise UrlNotAllowed(f"The URL is longer than {self.max_length} characters.")
        if any(_is_stray(char) for char in text):
            raise UrlNotAllowed("The URL holds white space, a control character or a backslash.")
        match = _URL.fullmatch(text)
        scheme = match["scheme"].lower() if match else ""
        if match is None or scheme not in _DEFAULT_PORTS:
            raise UrlNotAllowed("The URL must start with http:// or https://.")
        host, address, port_text = _split_authority(match["authority"])
        port = int(port_text) if port_text else _DEFAULT_PORTS[scheme]
        if port not in self.ports:
            raise UrlNotAllowed("The URL names a port that is not allowed.")
        if address is not None and not is_public(address):
            raise UrlNotAllowed
        # Only what cannot go on the wire is escaped: a signature covers the rest as it stands.
        target = quote((match["path"] or "/") + (match["query"] or ""), safe=_VISIBLE_ASCII)
        return Url(scheme=scheme, host=host, port=port, target=target, address=address)

    def join(self, base: Url, location: str) -> Url:
        """
        Return the URL that a redirect from ``base`` leads to, judged like any other.

        Raises:
            UrlNotAllowed: see :meth:`parse`.
        """
        if any(_is_stray(char) for char in location):
            raise UrlNotAllowed
        return self.parse(resolve_reference(location, origin=base.origin, target=base.target))

    def check_answers(self, answers: Iterable[str | IPAddress]) -> Sequence[IPAddress]:
        """
        Return the addresses that a name stands for, in their order, each once.

        One address that is not allowed refuses the name: a name that mixes them is an attack.

        Raises:
            UrlNotAllowed: for any of them, or when there is none.
        """
        found: dict[IPAddress, None] = {}
        for answer in answers:
            try:
                address = parse_address(str(answer))
            except ValueError:
                raise UrlNotAllowed from None
            if not is_public(address):
                raise UrlNotAllowed
            found[address] = None
        if not found:
            raise UrlNotAllowed
        return tuple(found)


def _is_stray(char: str) -> bool:
    """Whether the character has no place in any URL."""
    if char.isascii():
        return not "!" <= char <= "~" or char == "\\"
    return char.isspace() or unicodedata.category(char) in {"Cc", "Cs", "Zs", "Zl", "Zp"}


def _split_authority(authority: str) -> tuple[str, IPAddress | None, str]:
    """Return host, address if it is one, and the port's digits."""
    if "@" in authority:
        raise UrlNotAllowed("The URL must not carry credentials.")
    match = _AUTHORITY.fullmatch(authority)
    if match is None or "%" in authority:
        raise UrlNotAllowed("The URL has no valid host.")
    port = match["port"] or ""
    if not _PORT.fullmatch(port):
        raise UrlNotAllowed("The URL has no valid port.")
    if match["ipv6"] is not None:
        try:
            ipv6 = IPv6Address(match["ipv6"])
        except AddressValueError:
            raise UrlNotAllowed("The URL has no valid host.") from None
        return str(ipv6), ipv6, port
    if _DOTTED_QUAD.fullmatch(match["name"]):
        try:
            ipv4 = IPv4Address(match["name"])
        except AddressValueError:
            raise UrlNotAllowed("The URL has no valid host.") from None
        return str(ipv4), ipv4, port
    return _host_name(match["name"]), None, port


def _host_name(text: str) -> str:
    """Return a public host name in ASCII, or raise."""
    if len(text) > _MAX_WRITTEN_HOST:
        raise UrlNotAllowed("The URL has no valid host.")
    written = _DOTS.sub(".", text).split(".")
    if len(written) > 1 and not written[-1]:  # one trailing dot says "absolute"
        del written[-1]
    # No top-level domain is a number; what looks like one is an address in disguise.
    if is_number(written[-1]) or _NUMERIC.fullmatch(written[-1].lower()):
        raise UrlNotAllowed("The URL has a number for a host.")
    try:
        labels = [ascii_label(label) for label in written]
    except ValueError:
        raise UrlNotAllowed("The URL has no valid host.") from None
    host = ".".join(labels)
    if len(host) > _MAX_HOST or not all(_LABEL.fullmatch(label) for label in labels):
        raise UrlNotAllowed("The URL has no valid host.")
    ends = {".".join(labels[start:]) for start in range(len(labels))}
    if len(labels) == 1 or not ends.isdisjoint(_REFUSED_SUFFIXES):
        raise UrlNotAllowed("The URL's host is not a public name.")
    return host
