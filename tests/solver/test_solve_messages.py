"""Shape errors of torch: recognised as torch says them today, as it said them before, and wherever they are pasted."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import refused_at_most
from messages import MESSAGES, Told
from solved import reading

import convcli
from convcli import SpecError

OLD = {  # of earlier versions
    "Expected 4-dimensional input for 4-dimensional weight [64, 3, 7, 7], but got 3-dimensional input of size [3, 9, 9]"
    " instead": "convolution: axes of the input",
    "size mismatch, m1: [4 x 25088], m2: [512 x 10] at THTensorMath.cpp:41": "linear: features",
    "mat1 and mat2 shapes cannot be multiplied (4x25088 and 512x10)": "linear: features",
    "Sizes of tensors must match except in dimension 1. Got 8 and 7 in dimension 2 (The index is 1)": "cat: sizes",
    "pad should be smaller than half of kernel size, but got padW = 2, padH = 2, kW = 3, kH = 3": (
        "pooling: padding beyond half the window"
    ),
    "offset.shape[1] is not valid: got: 17 expected: 18": "deformable convolution: channels of the offset",
    "Given transposed=True, weight of size [3, 8, 3, 3], expected input[1, 4, 5, 5] to have 3 channels, but got 4"
    " channels instead": "transposed convolution: input channels",
}
TRACEBACK = """Traceback (most recent call last):
  File "train.py", line 12, in <module>
    model(x)
  File "torch/nn/modules/conv.py", line 460, in forward
    return F.conv2d(input, weight, bias, self.stride, self.padding, self.dilation, self.groups)
{}
"""
ids = [f"{number}-{told.about}" for number, told in enumerate(MESSAGES)]


@pytest.mark.parametrize("told", MESSAGES, ids=ids)
def test_each_message_is_recognised(told: Told) -> None:
    found = reading(told.text)
    assert found.about == told.about
    assert found.fixes
    assert found.means.endswith(".")
    assert told.code in {"", *(fix.code for fix in found.fixes)}
    assert found.message in told.text


@pytest.mark.torch
@pytest.mark.parametrize("told", MESSAGES, ids=ids)
@pytest.mark.filterwarnings("ignore")
def test_torch_still_says_it(told: Told) -> None:
    """The installed torch's own words lead to the same reading."""
    import torch

    with pytest.raises(Exception) as raised:  # noqa: PT011 - torch raises errors of many types
        told.provoke(torch, torch.nn, torch.nn.functional)
    found, kept = reading(f"{type(raised.value).__name__}: {raised.value}"), reading(told.text)
    assert (found.about, found.read, found.fixes) == (kept.about, kept.read, kept.fixes)


@pytest.mark.parametrize(("text", "about"), OLD.items())
def test_earlier_versions_are_understood(text: str, about: str) -> None:
    assert reading(text).about == about


@pytest.mark.parametrize("told", MESSAGES, ids=ids)
def test_a_traceback_may_stand_around_it(told: Told) -> None:
    kept = reading(told.text)
    broken = re.sub(r"(.{40}\S*) ", r"\1\n    ", told.text)
    for text in (TRACEBACK.format(told.text), TRACEBACK.format(broken), f"\x1b[31m{told.text}\x1b[0m\r\n>>> "):
        found = reading(text)
        assert (found.about, found.read, found.fixes) == (kept.about, kept.read, kept.fixes)


@given(st.sampled_from(MESSAGES), st.sampled_from(MESSAGES))
def test_the_last_of_several_is_explained(first: Told, last: Told) -> None:
    text = f"{first.text}\n\nDuring handling of the above exception, another exception occurred:\n\n{last.text}"
    assert reading(text).about == last.about


NUMBERS = st.one_of(
    st.integers(0, 9), st.integers(-(10**18) + 1, 10**18 - 1), st.sampled_from([1, 2, 3, 49, 64, 512, 25088])
)
SHAPES = st.lists(NUMBERS, min_size=1, max_size=7).map(str)


@settings(max_examples=200)
@given(st.sampled_from(MESSAGES), st.lists(NUMBERS, min_size=1, max_size=12), st.lists(SHAPES, min_size=1, max_size=4))
def test_any_numbers_are_read(told: Told, numbers: list[int], shapes: list[str]) -> None:
    """Other numbers and shapes in the same words: an explanation, or a word that there is none."""
    turn = iter(shapes * 20)
    text = re.sub(r"\[\d[\d, ]*\]", lambda _: next(turn), told.text)
    again = iter(numbers * 99)
    for changed in (text, re.sub(r"(?<![\w.])-?\d+(?![\w.])", lambda _: str(next(again)), told.text)):
        with refused_at_most():
            assert reading(changed).means


@pytest.mark.parametrize(
    "text", ["", "hello", "IndexError: list index out of range", "RuntimeError: CUDA out of memory."]
)
def test_what_nobody_knows_is_said_to_be_unknown(text: str) -> None:
    with pytest.raises(SpecError, match="no shape error that is known"):
        convcli.solve(text)


@pytest.mark.parametrize("told", MESSAGES[::6], ids=ids[::6])
def test_long_texts_are_read_in_seconds(told: Told) -> None:
    started = time.process_time()
    for part in (told.text[: len(told.text) // 2], told.text[:20], "[1, 2, "):
        with refused_at_most():
            reading(part * (100_000 // len(part)))
    assert time.process_time() - started < 5


def test_numbers_are_put_into_the_words() -> None:
    found = reading("mat1 and mat2 shapes cannot be multiplied (4x25088 and 512x10)")
    assert found.read == {"input": (4, 25088), "in_features": 512, "out_features": 10}
    assert "25088 = C*H*W = 512*7*7 arrive" in found.fixes[0].when
    assert found.fixes[1].code == "Linear(25088, 10)"
    found = reading("mat1 and mat2 shapes cannot be multiplied (1x25088 and 392x10)")
    assert "25088 = C*H*W = 8*56*56 arrive, 392 = 8*7*7 are taken" in found.fixes[0].when
