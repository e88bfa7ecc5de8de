"""How wide text is at the most."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ImageFont

from convcli.pictures import letters

PRINTABLE = string.ascii_letters + string.digits + string.punctuation + " "


@pytest.mark.parametrize("bold", [False, True])
def test_no_letter_of_pillows_font_is_wider(bold: bool) -> None:
    font = ImageFont.load_default(100)
    for letter in PRINTABLE:
        left, _, right, _ = font.getbbox(letter, stroke_width=2 if bold else 0)
        assert right - min(left, 0) <= letters.width(letter, 100, bold=bold) + (4 if bold else 0), letter
    _, top, _, bottom = font.getbbox(PRINTABLE, anchor="ls")
    assert -top <= letters.ASCENT * 100
    assert bottom <= letters.DESCENT * 100


@given(st.text(max_size=200), st.floats(30, 400))
def test_lines_fit_and_lose_nothing(text: str, room: float) -> None:
    lines = letters.wrapped(text, 13, room)
    assert all(letters.width(line, 13) <= room for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


def test_lines_are_broken_between_words_and_inside_long_ones() -> None:
    assert letters.wrapped("one two three", 10, letters.width("one two", 10)) == ["one two", "three"]
    assert letters.wrapped("a" * 25, 10, letters.width("a" * 10, 10)) == ["a" * 10, "a" * 10, "a" * 5]
    assert letters.wrapped("", 10, 100) == [""]
