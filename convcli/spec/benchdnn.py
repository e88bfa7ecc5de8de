"""oneDNN's benchdnn problem descriptors, `mb1_ic3oc64_ih224oh112kh7sh2ph3`.

The rules are those of benchdnn's documentation (driver_conv.md, knobs_desc.md): `_` separates and means nothing; with
`d`, `h` or `w` alone the other axes copy it (`d` three axes, `h` two, `w` one); dilation 0 is PyTorch's 1; what is left
out defaults to mb2, g1, stride 1, dilation 0; padding left out follows from the output. The right padding always
follows from the stated output and may be negative.
"""

from __future__ import annotations

import re

import msgspec

from convcli.axis import axes
from convcli.errors import SpecError
from convcli.layers import Conv, Shape

ENTRY = re.compile(r"(mb|g|ic|oc|[iokspd][dhw])(\d{1,19})|_|n(?:\"(?P<quoted>[^\"]*)\"|(?P<name>.+)$)", re.ASCII)
DESCRIPTOR = re.compile(r"(?:(?:mb|g|ic|oc|[iokspd][dhw])\d+|_)+(?:n.*)?", re.ASCII)
AXES = ("d", "h", "w")


def is_descriptor(text: str) -> bool:
    """Whether `text` is a problem descriptor: it names input channels and a spatial size."""
    return DESCRIPTOR.fullmatch(text.strip()) is not None and "ic" in text


class Described(msgspec.Struct, frozen=True):
    """A problem: the convolution, its input (N, C, *space) and its name, if any."""

    layer: Conv
    input: Shape
    name: str


def described(text: str) -> Described:
    """The convolution that a descriptor names. Raises SpecError."""
    entries, name = _entries(text.strip())
    missing = [key for key in ("ic", "oc") if key not in entries]
    if missing:
        raise SpecError(
            f"the descriptor has no {missing[0]}", allowed="ic, oc, an input size and a kernel size at the least"
        )
    rank = _rank(entries)
    size, kernel = _per_axis(entries, "i", rank), _per_axis(entries, "k", rank)
    if not size or not kernel:
        raise SpecError(
            "the descriptor has no input size (ih) or no kernel size (kh)", allowed="both, as in ic3ih224_oc64_kh7"
        )
    stride = _per_axis(entries, "s", rank) or [1] * rank
    dilation = [d + 1 for d in _per_axis(entries, "d", rank) or [0] * rank]
    outs: list[int] | list[None] = _per_axis(entries, "o", rank) or [None] * rank
    befores: list[int] | list[None] = _per_axis(entries, "p", rank) or [None] * rank
    pads = [_padding(*axis) for axis in zip(size, kernel, stride, dilation, outs, befores, strict=True)]
    layer = Conv(
        axes=axes(kernel, stride=stride, dilation=dilation, padding=pads, negative_padding=True),
        in_channels=entries["ic"],
        out_channels=entries["oc"],
        groups=entries.get("g", 1),
    )
    return Described(layer, (entries.get("mb", 2), entries["ic"], *size), name)


def _entries(text: str) -> tuple[dict[str, int], str]:
    entries: dict[str, int] = {}
    name, position = "", 0
    while position < len(text):
        match = ENTRY.match(text, position)
        if match is None:
            raise SpecError(
                f"the descriptor cannot be read from {text[position : position + 20]!r} on",
                allowed="entries as in ic3ih224_oc64_kh7",
            )
        if match[1]:
            if match[1] in entries:
                raise SpecError(f"the descriptor says {match[1]} twice", allowed="each entry once")
            entries[match[1]] = int(match[2])
        elif match[0] != "_":
            name = match["quoted"] or match["name"] or ""
        position = match.end()
    return entries, name


def _rank(entries: dict[str, int]) -> int:
    return next((rank for rank, axis in ((3, "d"), (2, "h"), (1, "w")) if f"i{axis}" in entries), 2)


def _per_axis(entries: dict[str, int], letter: str, rank: int) -> list[int]:
    """The `rank` values of an entry, none if it is left out; an axis left out copies the one before it, or the next."""
    values = [entries.get(letter + axis) for axis in AXES[-rank:]]
    given = [value for value in values if value is not None]
    filled: list[int] = []
    for value in values if given else []:
        filled.append(value if value is not None else filled[-1] if filled else given[0])
    return filled


def _padding(
    size: int, kernel: int, stride: int, dilation: int, out: int | None, before: int | None
) -> tuple[int, int]:
    """(before, after): what comes after is what the stated output needs."""
    if out is None:
        return before or 0, before or 0
    total = (out - 1) * stride + dilation * (kernel - 1) + 1 - size
    left = before if before is not None else max(total, 0) // 2
    return left, total - left
