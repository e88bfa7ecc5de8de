"""Conventions under which a number can be right, and the most favourable one for a tool, the same for all its layers.

One MAC may count as 1 or 2; products with padding zeros, bias adds and bilinear sampling in or out; a transposed layer
by its scatter, kept or zero-insert products; for the whole batch or for one sample of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

TRANSPOSED = {"scatter": "macs", "kept": "macs_kept", "zero-insert": "macs_zero_insert"}
SAMPLING: dict[str, tuple[str, ...]] = {
    "out": (),
    "interpolation": ("interpolation_macs",),
    "interpolation and mask": ("interpolation_macs", "modulation_macs"),
    "ptflops' estimate": ("tap_positions",),
}
Part = Mapping[str, int]


@dataclass(frozen=True)
class Reading:
    """One convention; the defaults are the textbook's."""

    per_mac: int = 1
    bias: str = "out"
    padding: str = "dense"
    transposed: str = "scatter"
    sampling: str = "out"
    per_sample: bool = False

    def number(self, part: Part) -> int:
        """What a tool with this convention should say of one convolution."""
        if "macs_kept" in part:
            macs = part[TRANSPOSED[self.transposed]]
        else:
            macs = part["macs" if self.padding == "dense" else "macs_nonpad"]
        return (
            self.per_mac * (macs + self._sampling(part))
            + part["bias_adds"] * {"out": 0, "in": 1, "as a MAC": self.per_mac}[self.bias]
        )

    def _sampling(self, part: Part) -> int:
        if self.sampling == "ptflops' estimate":  # 20 for the interpolation, 4 for coordinates, 1 for a mask
            return part.get("tap_positions", 0) * (25 if part.get("modulation_macs") else 24)
        return sum(part.get(name, 0) for name in SAMPLING[self.sampling])

    def expected(self, truth: Mapping[str, Any]) -> int:
        """The sum over the layer's parts."""
        return sum(map(self.number, truth["parts"])) // (truth["batch"] if self.per_sample else 1)

    def without_a_part(self, truth: Mapping[str, Any]) -> set[int]:
        """What the sum becomes when parts are left out: 0 when all are."""
        numbers = [self.number(part) for part in truth["parts"]]
        return {0} | ({sum(numbers) - number for number in numbers} if len(numbers) > 1 else set())

    def __str__(self) -> str:
        """What differs from the textbook's."""
        words = [
            "MACs" if self.per_mac == 1 else "2 per MAC",
            "" if self.bias == "out" else f"bias adds {self.bias}",
            "" if self.padding == "dense" else "no padding products",
            "" if self.transposed == "scatter" else f"transposed: {self.transposed}",
            "" if self.sampling == "out" else f"with {self.sampling}",
            "per sample" if self.per_sample else "",
        ]
        return ", ".join(filter(None, words))


def readings(transposed: Sequence[str] = tuple(TRANSPOSED)) -> Iterator[Reading]:
    """All of them, the textbook's first."""
    choices = product((False, True), SAMPLING, transposed, ("dense", "nonpad"), ("out", "in", "as a MAC"), (1, 2))
    return (Reading(per, bias, pad, way, sampling, single) for single, sampling, way, pad, bias, per in choices)


def best(
    said: Sequence[int | None], truths: Sequence[Mapping[str, Any]], transposed: Sequence[str] = tuple(TRANSPOSED)
) -> Reading:
    """The reading under which most of the numbers are right; the one nearest the textbook's among equals."""
    return max(
        readings(transposed),
        key=lambda reading: sum(n == reading.expected(t) for n, t in zip(said, truths, strict=True)),
    )


def backward_right(said: Sequence[int | None], truths: Sequence[Mapping[str, Any]]) -> list[bool]:
    """Whether each is the cost of grad_input and grad_weight, twice the forward's, under one kind reading of all.

    Accepted: MACs or 2 per MAC, with no bias, with twice the forward's bias adds, with grad_bias's own.
    """
    options = [
        [n == per_mac * 2 * _sum(t, "macs") + times * _sum(t, "bias_adds") for n, t in zip(said, truths, strict=True)]
        for per_mac in (1, 2)
        for times in (0, 1, 2, 3)
    ]
    return max(options, key=sum)


def _sum(truth: Mapping[str, Any], count: str) -> int:
    return sum(part[count] for part in truth["parts"])
