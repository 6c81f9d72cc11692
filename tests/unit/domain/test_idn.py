# ruff: noqa: RUF001 (letters of other scripts are what is tested)
"""Host names of all scripts: the same ASCII as UTS #46 makes of them."""

from __future__ import annotations

import idna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genjobs.domain.idn import ascii_label

_LETTERS = "bücheñøßςΣΦἀЖёїқԱაᲐᎣꭰ日本ﾊｶﾞ한ไท่हिं্ේབོད་ⵜᐃאبیλ·٣"


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("Example", "example"),
        ("BÜCHER", "xn--bcher-kva"),
        ("bu\u0308cher", "xn--bcher-kva"),
        ("FAẞ", "xn--fa-hia"),
        ("ΟΔΌΣ", "xn--pxavn9a"),  # every sigma is one that is not at the end ...
        ("οδός", "xn--pxavk3b"),  # ... unless it is written so
        ("i❤", "xn--i-7iq"),
        ("i❤\ufe0f", "xn--i-7iq"),
    ],
)
def test_label_becomes_what_dns_knows_it_by(label: str, expected: str) -> None:
    assert ascii_label(label) == expected


@pytest.mark.parametrize(
    "label",
    [
        "İstanbul",
        "ŁÓDŹ",
        "ᎣᏏᏲ",
        "ꭳꮟᏺ",
        "ᲡᲐᲥ",
        "𝛀mega",
        "𐐎𐐡",
        "བོད་ཡིག",
        "col·lecció",
        "נ״א",
        "नामे\u200d",
        "نامه\u200cای",
        "ﾊﾝﾊﾞｰｶﾞｰ",
        "👍🏽",
        "🤷🏽\u200d♂\ufe0f",
        "↔\ufe0f",
        "1\ufe0f⃣",
        "葛\U000e0100城",
        "my_bücher",
    ],
)
def test_label_is_mapped_as_the_technical_standard_does(label: str) -> None:
    mapped = idna.uts46_remap(label, std3_rules=False, transitional=False)
    assert ascii_label(label) == "xn--" + mapped.encode("punycode").decode()


@pytest.mark.parametrize(
    "label",
    [
        "ｅｘａｍｐｌｅ",
        "exam℡é",
        "ﬁé",
        "\u0300é",
        "é-",
        "-é",
        "é\u00ad",
        "é\u200b",
        "é\u034f",
        "é\u3164",
        "é\ufffd",
        "é∕é",
        "é é",
        "\ufe0f",
        "é\ue000",
        "é" * 64,
    ],
)
def test_label_that_is_no_word_is_refused(label: str) -> None:
    with pytest.raises(ValueError, match=r"word|compatibility"):
        ascii_label(label)


@given(st.text(alphabet=_LETTERS, min_size=1, max_size=12))
def test_what_idna_takes_becomes_the_same(label: str) -> None:
    try:
        expected = idna.encode(label, uts46=True).decode()
    except idna.IDNAError:
        return
    assert ascii_label(label) == expected
