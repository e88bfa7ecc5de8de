"""What a reader of messages is, and the words that all readers share."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from convcli.solver.records import Fix, Reading

SHAPE = r"(?:torch\.Size\()?\[{1,2}(-?\d[\d, -]{0,200})\]{1,2}\)?"  # [1, 3, 224, 224], torch.Size([2, 3])
NUMBER = r"(-?\d{1,18})"


class Reader(msgspec.Struct, frozen=True):
    """A message by its pattern, and the function that explains a match."""

    pattern: re.Pattern[str]
    read: Callable[[re.Match[str]], Reading]


def reader(pattern: str, read: Callable[[re.Match[str]], Reading]) -> Reader:
    """A reader of a pattern in which blanks stand for any, and case does not matter."""
    return Reader(re.compile(pattern, re.IGNORECASE), read)


def told(found: re.Match[str], about: str, means: str, fixes: Sequence[Fix], **read: Any) -> Reading:
    """A reading of a match."""
    return Reading(message=found[0], about=about, means=means, read=read, fixes=tuple(fixes))


def plain(pattern: str, about: str, means: str, *fixes: Fix) -> Reader:
    """A reader of a message that has no numbers; {1} in `means` is the first thing that the pattern caught."""
    return reader(pattern, lambda found: told(found, about, means.format(found[0], *found.groups()), fixes))


def numbers(text: str) -> tuple[int, ...]:
    """All whole numbers in a text: of '1, 3, 224', of '5 x 5'."""
    return tuple(map(int, re.findall(r"-?\d{1,18}", text)))


def x(sizes: Sequence[int]) -> str:
    """1x3x224x224"""
    return "x".join(map(str, sizes))


def said(sizes: Sequence[int]) -> str:
    """A shape as code takes it: 2 where all axes have 2, (2, 3) otherwise."""
    return str(sizes[0]) if len(set(sizes)) == 1 else f"({', '.join(map(str, sizes))})"


def counted(number: int, noun: str) -> str:
    """1 channel, 3 channels"""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def permuted(axes: int) -> str:
    """The call that brings the last axis to the channels' place: x.permute(0, 3, 1, 2)"""
    return f"x.permute({', '.join(map(str, (0, axes - 1, *range(1, axes - 1))))})"
