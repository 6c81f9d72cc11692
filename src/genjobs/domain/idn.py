"""
International host names: one label of any script to the ASCII that DNS knows it by.

Mapping as UTS #46 does it (non-transitional) as far as the standard library reaches: case folded,
composed, without variation selectors; then punycode (RFC 3492). Letters, digits and marks of every
script are taken, and emoji, which registries sell though IDNA2008 has none of them. Which names
are public is in ``url_policy``.
"""

from __future__ import annotations

import unicodedata
from typing import Final

MAX_LABEL: Final = 63
#: What RFC 3490 section 3.1 counts as a dot besides the full stop.
DOTS: Final = "\u3002\uff0e\uff61"
#: Signs inside words that RFC 5892 appendix A allows in some contexts; the Tibetan word mark and
#: the ideographic zero of its section 2.6; hyphen and underscore.
_SIGNS: Final = frozenset("-_\u00b7\u0375\u05f3\u05f4\u0f0b\u200c\u200d\u3007\u30fb")
#: Emoji that Unicode does not count as "other symbols": skin tones, an arrow, two squares.
_EMOJI: Final = frozenset("\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff\u2194\u25fd\u25fe")
#: How a sign is drawn, not which one it is: UTS #46 ignores them.
_VARIATIONS: Final = frozenset(
    map(chr, [*range(0x180B, 0x180E), 0x180F, *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)])
)
#: Letters and marks that are not to be seen, and signs that stand for what could not be written.
_INVISIBLE: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\ufffc\ufffd")
#: Letters of their own that full case folding would take for others.
_UNFOLDED: Final = {"\u00df": "\u00df", "\u1e9e": "\u00df", "\u03c2": "\u03c2"}


def ascii_label(label: str) -> str:
    """Return the label in lower-case ASCII; ``ValueError`` when it is no word of any script."""
    if label.isascii():
        return label.lower()
    # Full-width, circled and joined forms of ASCII are how a digit or a letter gets past a check;
    # no legal name needs them.
    if any(_disguises_ascii(char) for char in label):
        raise ValueError("a compatibility form of an ASCII character")
    plain = unicodedata.normalize("NFKC", _folded(unicodedata.normalize("NFKC", label)))
    # Checked before it is encoded: encoding takes time by the square of the length.
    if plain.isascii() or len(plain) > MAX_LABEL or not _is_word(plain):
        raise ValueError("not a word")
    return "xn--" + plain.encode("punycode").decode("ascii")


def is_number(label: str) -> bool:
    """Return whether the label is made of decimal digits, of whatever script."""
    return label.isdecimal()


def _disguises_ascii(char: str) -> bool:
    return not char.isascii() and any(map(str.isascii, unicodedata.normalize("NFKC", char)))


def _folded(label: str) -> str:
    # Letter by letter: lower() would make a final sigma of the last one, which is another name.
    return "".join(
        _UNFOLDED.get(char, char.casefold()) for char in label if char not in _VARIATIONS
    )


def _is_word(label: str) -> bool:
    """Whether the label is made of letters, digits and marks, and begins and ends as one may."""
    categories = [unicodedata.category(char) for char in label]
    return (
        categories[0][0] != "M"
        and "-" not in {label[0], label[-1]}
        and _INVISIBLE.isdisjoint(label)
        and all(
            category[0] in "LM" or category in {"Nd", "So"} or char in _SIGNS or char in _EMOJI
            for char, category in zip(label, categories, strict=True)
        )
    )
