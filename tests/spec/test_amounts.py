"""Numbers as people write budgets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import refused_at_most

from convcli import SpecError
from convcli.spec.amounts import amount


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (0, 0),
        (10_000, 10_000),
        ("10_000", 10_000),
        ("120M", 120_000_000),
        ("4.1G", 4_100_000_000),
        ("4.089 G", 4_089_000_000),
        ("4MB", 4_000_000),
        ("4MiB", 4 * 1024**2),
        ("1.5KiB", 1536),
        ("1kB", 1000),
        ("1KB", 1000),
        ("2T", 2 * 10**12),
        ("3P", 3 * 10**15),
        ("7B", 7),
        (" 7 ", 7),
        ("0.0000001", 0),
        (10**30, 10**30),
    ],
)
def test_an_amount_is_a_whole_number(text: int | str, number: int) -> None:
    assert amount(text) == number


@pytest.mark.parametrize(
    "text",
    ["", "M", "-1", -1, "120Q", "1e6", "1,000", "1.M", ".5M", "1 2", "NaN", "inf", True, "4MBit", "1" * 25, "0x10"],
)
def test_anything_else_is_refused(text: int | str) -> None:
    with pytest.raises(SpecError, match="is not an amount"):
        amount(text)


@given(
    st.integers(0, 10**12),
    st.sampled_from([("k", 1000), ("M", 10**6), ("G", 10**9), ("Ki", 1024), ("MiB", 1024**2), ("GB", 10**9)]),
)
def test_an_ending_multiplies(number: int, ending: tuple[str, int]) -> None:
    word, factor = ending
    assert amount(f"{number}{word}") == number * factor
    assert amount(f"{number}.5 {word}") == number * factor + factor // 2


@given(st.text(max_size=20))
def test_any_text_is_an_amount_or_an_error(text: str) -> None:
    with refused_at_most(lambda problem: "120M" in problem.allowed):
        assert amount(text) >= 0
