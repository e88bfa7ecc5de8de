"""Numbers, shapes and names as people read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

PREFIXES = ("", "k", "M", "G", "T", "P", "E", "Z", "Y")


def scaled(number: int, unit: str) -> str:
    """`number` in four digits with a decimal prefix: 118013952 MACs are 118.0 MMACs; below 1000 as it is."""
    power = (len(str(abs(number))) - 1) // 3
    if power and float(f"{number / 1000**power:.4g}") >= 1000:  # 999,999 rounds up into the next prefix
        power += 1
    if power >= len(PREFIXES):
        return f"{_scientific(number)} {unit}"
    return f"{number / 1000**power:#.4g} {PREFIXES[power]}{unit}" if power else f"{number} {unit}"


def _scientific(number: int) -> str:
    """1.000e+60; no float holds the largest products."""
    from decimal import Decimal  # hardly ever needed

    return f"{Decimal(number):.3e}"


def digits(number: int, *, separators: bool) -> str:
    """Every digit of `number`: 118,013,952 with separators, 118013952 without."""
    return f"{number:,}" if separators else str(number)


def shape(sizes: Sequence[int | float]) -> str:
    """(1, 64, 112, 112) as 1x64x112x112."""
    return "x".join(map(str, sizes)) if sizes else "()"


def counted(number: int, noun: str) -> str:
    """1 layer, 2 layers, 12,000 layers."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def printable(text: str) -> str:
    r"""`text` on one line without control characters: a newline becomes \n, an escape \x1b, as in Python."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def width(text: str) -> int:
    """Columns that `text` takes on a terminal: two for wide characters, none for combining ones."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width  # only names beyond ASCII need it

    return sum(0 if combining(c) else 2 if east_asian_width(c) in {"W", "F"} else 1 for c in text)
