"""Texts that look like addresses or paths, however they are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genjobs.domain.plain_text import choice_fault, has_address, model_name_fault, prompt_fault

ADDRESSES = [
    "http://169.254.169.254/latest/meta-data",
    "HTTPS://example.com",
    "  https://example.com",
    "see http://example.com",
    "ht\ntp://example.com",
    "h\tttps://example.com",
    "http\u200b://example.com",
    "\uff48\uff54\uff54\uff50://example.com",
    "http:\uff0f\uff0fexample.com",
    "http:example.com",
    "file:///etc/passwd",
    "FILE:/etc/passwd",
    "file:etc/passwd",
    "data:image/png;base64,AAAA",
    "s3://bucket/key",
    "gs://bucket/key",
    "ftp://host/x",
    "//host/share",
    " //host/share",
    "\\\\host\\share",
    "anything+odd://x",
    "concat:a|b",
    "subfile:,,x",
    "javascript:alert(1)",
    "\x00http://example.com",
    "hf://repo/file",
]
PATHS = [
    "../secret.png",
    "a/../../secret",
    "/etc/passwd",
    "..\\..\\secret",
    "C:\\Windows",
    "c:/windows",
    "~/x",
    "x.png [output]",
    "x.png[temp]",
    "x.png [ INPUT ] ",
    "a\x00.safetensors",
    "\uff0e\uff0e/secret",
]
MODELS_ONLY = ["a\\b.safetensors", "a//b", "./x", "a/.", "", "/", "a\nb"]
CHOICES = [
    "euler",
    "dpmpp_2m",
    "1:1 (Square)",
    "2:3 (Portrait Photo)",
    "x-axis: vertically",
    "hed/pidi/scribble/ted",
    "v1 (concat)",
    "video/h264-mp4",
    "image/gif",
    "C# major",
    "uxo/uno",
    "bayer-2",
    "32-bit float",
    "7, 8, 9",
    "",
]
MODELS = [
    "v1-5-pruned-emaonly.safetensors",
    "flux/flux1-dev.safetensors",
    "SD 1.5/my model (v2) [fp16].safetensors",
    "4x_foolhardy_Remacri.pth",
    "модель.safetensors",
    "pixel_space",
    "None",
    "a..b.safetensors",
]
PROMPTS = [
    "a photo of https://example.com",
    "ratio 3:4, (masterpiece:1.2), embedding:EasyNegative, file: none",
    "embedding:folder/name.pt, (embedding:bad-hands-5:1.2)",
    "embedding:wow... and so on, (embedding:A:1.2)",
    "",
    "line\nbreak\ttab",
    "..",
]


@pytest.mark.parametrize("text", ADDRESSES)
def test_address_is_seen_however_it_is_written(text: str) -> None:
    assert has_address(text)
    assert choice_fault(text) is not None
    assert model_name_fault(text) is not None


@pytest.mark.parametrize("text", PATHS)
def test_path_is_no_choice_and_no_model(text: str) -> None:
    assert choice_fault(text) is not None
    assert model_name_fault(text) is not None


@pytest.mark.parametrize("text", MODELS_ONLY)
def test_name_that_is_not_plain_is_no_model(text: str) -> None:
    assert model_name_fault(text) is not None


@pytest.mark.parametrize("text", CHOICES)
def test_real_choice_is_fine(text: str) -> None:
    assert choice_fault(text) is None


@pytest.mark.parametrize("text", MODELS)
def test_real_model_name_is_fine(text: str) -> None:
    assert model_name_fault(text) is None


@pytest.mark.parametrize("text", PROMPTS)
def test_prompt_may_hold_what_people_write(text: str) -> None:
    assert prompt_fault(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "a\x00b",
        "embedding:../../x",
        "embedding: /etc/passwd",
        "(embedding:a/../../b:1.2)",
        "EMBEDDING:c:\\x",
        "embedding:x\\..\\y",
    ],
)
def test_prompt_may_not_name_a_file_elsewhere(text: str) -> None:
    assert prompt_fault(text) is not None


@given(st.text(max_size=40))
def test_any_text_is_judged(text: str) -> None:
    for judge in (choice_fault, model_name_fault, prompt_fault):
        assert judge(text) is None or judge(text)
    assert has_address(f"{text}://{text}")
