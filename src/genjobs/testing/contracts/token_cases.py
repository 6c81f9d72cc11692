"""What is wrong with tokens that must be refused: the tables of the suite of ``TokenCodec``."""

from __future__ import annotations

from typing import Any

#: What is changed of a good header, by what is wrong then; None leaves a member out.
WRONG_HEADERS: dict[str, dict[str, Any]] = {
    "no algorithm": {"alg": None},
    "alg none": {"alg": "none"},
    "alg None": {"alg": "None"},
    "alg NONE": {"alg": "NONE"},
    "alg HS256": {"alg": "HS256"},
    "alg HS512": {"alg": "HS512"},
    "alg empty": {"alg": ""},
    "alg a number": {"alg": 1},
    "alg a list": {"alg": ["EdDSA"]},
    "kid a number": {"kid": 1},
    "kid a list": {"kid": ["k1"]},
    "unknown and critical": {"crit": ["exp"]},
    "detached": {"b64": False, "crit": ["b64"]},
}
#: The same of the claims.
WRONG_CLAIMS: dict[str, dict[str, Any]] = {
    "no issuer": {"iss": None},
    "no audience": {"aud": None},
    "no expiry": {"exp": None},
    "no user": {"sub": None},
    "no tenant": {"tenant": None},
    "no scope": {"scope": None},
    "no id": {"jti": None},
    "other audience": {"aud": "other"},
    "audience that begins so": {"aud": "genjobs2"},
    "audience in other case": {"aud": "Genjobs"},
    "audience empty": {"aud": ""},
    "audiences, none ours": {"aud": ["a", "b"]},
    "audience a number": {"aud": [1]},
    "audience an object": {"aud": {"genjobs": 1}},
    "other issuer": {"iss": "https://other.test"},
    "issuer a list": {"iss": ["https://site.test"]},
    "user with a space": {"sub": "a b"},
    "user with a slash": {"sub": "../u_1"},
    "user with a line break": {"sub": "u_1\n"},
    "user with NUL": {"sub": "u_1\x00"},
    "user not ASCII": {"sub": "ü"},
    "user empty": {"sub": ""},
    "user too long": {"sub": "u" * 129},
    "user a number": {"sub": 1},
    "user a list": {"sub": ["u_1"]},
    "tenant a UUID": {"tenant": "00000000-0000-0000-0000-000000000000"},
    "tenant empty": {"tenant": ""},
    "tenant garbage": {"tenant": "ten_" + "z" * 26},
    "tenant a list": {"tenant": []},
    "scope a list": {"scope": ["jobs:read"]},
    "scope empty": {"scope": ""},
    "scope endless": {"scope": "x" * 1001},
    "id a number": {"jti": 1},
    "id empty": {"jti": ""},
    "id too long": {"jti": "j" * 201},
    "expiry a text": {"exp": "9999999999"},
    "expiry true": {"exp": True},
    "expiry beyond time": {"exp": 1e30},
    "expiry before time": {"exp": -62_135_596_800, "iat": None},
    "expiry an object": {"exp": {}},
    "made a text": {"iat": "1"},
    "made before time": {"iat": -1e18},
    "not before a text": {"nbf": "1"},
    "not before true": {"nbf": True},
}
#: Texts that are no tokens.
GARBAGE = [
    *("", ".", "..", "...", "a.b.c", "x" * 4096, "\x00.\x00.\x00", "é.é.é", "\udc80.a.b"),
    *(" . . ", "=.=.=", "e30.e30.", "e30.e30.e30", "bnVsbA.bnVsbA.bnVsbA", "W10.W10.W10"),
]
#: Headers or payloads that are no objects, or that ask for trouble.
ODD_DOCUMENTS = [
    *(b"", b"null", b"[]", b"1", b'"text"', b"{", b"\xff\xfe", b'{"iss": NaN}', b'{"exp": 1e999}'),
    *(b'{"a":' * 400 + b"1" + b"}" * 400, b"[" * 3000, b'{"exp": ' + b"9" * 2000 + b"}"),
    *(b'{"iss": "\\ud800", "tenant": "x"}', b"{}", b'{"iss": {}}', b'{"iss": null}'),
]
