"""References against the examples of RFC 3986 section 5.4."""

from __future__ import annotations

import pytest

from genjobs.domain.url_references import resolve_reference


@pytest.mark.parametrize(
    ("reference", "target"),
    [
        ("g", "/b/c/g"),
        ("./g", "/b/c/g"),
        ("g/", "/b/c/g/"),
        ("/g", "/g"),
        ("?y", "/b/c/d;p?y"),
        ("g?y#s", "/b/c/g?y#s"),
        ("#s", "/b/c/d;p?q"),
        (";x", "/b/c/;x"),
        ("g;", "/b/c/g;"),
        ("?", "/b/c/d;p?"),
        ("", "/b/c/d;p?q"),
        (".", "/b/c/"),
        ("..", "/b/"),
        ("../g", "/b/g"),
        ("../..", "/"),
        ("../../../../g", "/g"),
        ("/./g", "/g"),
        ("/../g", "/g"),
        ("..g", "/b/c/..g"),
        ("./g/.", "/b/c/g/"),
        ("g;x=1/../y", "/b/c/y"),
        ("g?y/../x", "/b/c/g?y/../x"),
        ("./g:h", "/b/c/g:h"),
    ],
)
def test_reference_is_resolved_as_the_standard_says(reference: str, target: str) -> None:
    resolved = resolve_reference(reference, origin="http://a", target="/b/c/d;p?q")
    assert resolved == f"http://a{target}"


@pytest.mark.parametrize(
    ("reference", "url"),
    [
        ("//g/x", "http://g/x"),
        ("g:h", "g:h"),
        ("https://g/../x", "https://g/../x"),
        ("///g", "http:///g"),  # an authority that is empty: no URL, and refused as such
    ],
)
def test_reference_with_a_place_of_its_own_keeps_it(reference: str, url: str) -> None:
    assert resolve_reference(reference, origin="http://a", target="/b") == url
