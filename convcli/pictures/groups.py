"""Which input channels feed which output channels: blocks of groups, depthwise, both halves of a separable layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import prod

import msgspec

from convcli.errors import SpecError
from convcli.layers import Conv, DeformConvPack, Layer, Separable, Shape
from convcli.layers.transposed import ConvTranspose
from convcli.pictures import letters, words
from convcli.pictures.asked import Asked
from convcli.pictures.compose import composed
from convcli.pictures.grid import HEADING
from convcli.pictures.roles import GROUPS, of_group
from convcli.pictures.scene import Data, Line, Mark, Rect, Scene, Text
from convcli.plan import Step

MOST = 28  # channels of a column that are drawn one by one
MOST_BLOCKS = 12  # groups that are drawn
TALL, APART, WORD = 24.0, 4.0, 12.0  # a block, between two groups, its letters
BETWEEN = 170.0  # columns
GLYPHS = "0123456789abcdefghijklmnopqrstuvwxyz"


class Stage(msgspec.Struct, frozen=True):
    """A convolution between two columns: its channels, its groups, the shape of its weight."""

    name: str
    inputs: int
    outputs: int
    groups: int
    weight: Shape


class Block(msgspec.Struct, frozen=True):
    """Channels first to last (excluded) of a column; group -1 is none."""

    first: int
    last: int
    group: int

    @property
    def text(self) -> str:
        """7, or 0-15."""
        return str(self.first) if self.last == self.first + 1 else f"{self.first}-{self.last - 1}"


class Column(msgspec.Struct, frozen=True):
    """A column of blocks, at most so many of its channels."""

    name: str
    channels: int
    blocks: tuple[Block, ...]


def drawn(step: Step, asked: Asked) -> Scene:
    """The channels of a layer as columns of blocks, with a line wherever one feeds another."""
    if asked.animate:
        raise SpecError("channels do not move", field="--animate", allowed="taps, zero-insertion or samples")
    stages = _stages(step)
    columns = _columns(stages)
    return composed(
        words.title(step),
        list(_marks(columns, stages)),
        description=f"Which channels feed which in {words.title(step)}. {'; '.join(map(_said, stages))}.",
        captions=[*words.captions(step), *map(_said, stages)],
        legend=_legend(columns),
        notes=list(_notes(stages, columns)),
    )


def _stages(step: Step) -> list[Stage]:
    layer = step.layer
    if isinstance(layer, Separable):
        return [_stage(part.name, part.layer, part.x) for part in layer.parts(step.x)]
    if isinstance(layer, DeformConvPack):
        part = layer.parts(step.x)[1]
        return [_stage(part.name, part.layer, part.x)]
    return [_stage("", layer, step.x)]


def _stage(name: str, layer: Layer, x: Shape) -> Stage:
    if not isinstance(layer, Conv | ConvTranspose):
        raise SpecError(f"a {type(layer).__name__} has no groups", field="--picture", allowed="a convolution")
    return Stage(name, x[0], layer.output(x)[0], layer.groups or 1, layer.tensors(x)["weight"])


def _columns(stages: Sequence[Stage]) -> list[Column]:
    """The input's channels and each stage's output: one by one where they are few, else a block for each group."""
    counts = [stages[0].inputs, *(stage.outputs for stage in stages)]
    names = ["input", *(stage.name for stage in stages[:-1]), "output"]
    groups = [stages[0].groups, *(stage.groups for stage in stages)]
    if len(stages) > 1:
        groups[-1] = 1  # a pointwise half mixes them
    singly = max(counts) <= MOST or max(groups) > MOST_BLOCKS
    return [
        Column(name, channels, _blocks(channels, group, singly=singly))
        for name, channels, group in zip(names, counts, groups, strict=True)
    ]


def _blocks(channels: int, groups: int, *, singly: bool) -> tuple[Block, ...]:
    each = channels // groups
    if singly and (each <= MOST or groups == 1):
        shown = channels if channels <= MOST else max(each, MOST_BLOCKS // each * each) if groups > 1 else MOST_BLOCKS
        return tuple(Block(one, one + 1, one // each if groups > 1 else -1) for one in range(shown))
    shown = min(groups, MOST_BLOCKS)
    return tuple(Block(one * each, (one + 1) * each, one if groups > 1 else -1) for one in range(shown))


def _marks(columns: Sequence[Column], stages: Sequence[Stage]) -> Iterator[Mark]:
    wide = max(44.0, *(letters.width(block.text, WORD) + 16 for column in columns for block in column.blocks))
    left, tops = 0.0, []
    for column in columns:
        tops.append(_tops(column))
        yield from _column(column, tops[-1], left, wide)
        left += wide + BETWEEN
    for number, (stage, (one, other)) in enumerate(zip(stages, pairwise(columns), strict=True)):
        start = number * (wide + BETWEEN) + wide
        yield from _links(stage, (one, other), (tops[number], tops[number + 1]), start)


def _tops(column: Column) -> list[float]:
    """Where each block begins; a little room between groups."""
    tops, y = [], 0.0
    for number, block in enumerate(column.blocks):
        y += APART if number and block.group != column.blocks[number - 1].group else 0
        tops.append(y)
        y += TALL
    return tops


def _column(column: Column, tops: Sequence[float], left: float, wide: float) -> Iterator[Mark]:
    yield Text(left, -12, column.name, "panel", HEADING, data={"panel": column.name})
    for number, (block, top) in enumerate(zip(column.blocks, tops, strict=True)):
        data: Data = {"panel": column.name, "row": number, "column": 0, "first": block.first, "last": block.last - 1}
        if block.group >= 0:
            data |= {"group": block.group, "glyph": GLYPHS[block.group % len(GLYPHS)]}
        role = of_group(block.group) if block.group >= 0 else "input" if column.name == "input" else "output"
        yield Rect(left, top, wide, TALL, role, data)
        ink = "ink" if block.group >= 0 else "text"
        yield Text(left + wide / 2, top + TALL / 2 + WORD * 0.36, block.text, ink, WORD, "middle")


def _links(
    stage: Stage, columns: tuple[Column, Column], tops: tuple[Sequence[float], Sequence[float]], start: float
) -> Iterator[Line]:
    """A line from block to block, wherever a channel of one feeds a channel of the other."""
    one, other = columns
    for block, top in zip(one.blocks, tops[0], strict=True):
        for target, below in zip(other.blocks, tops[1], strict=True):
            group = _common(stage, block, target)
            if group is not None:
                role = of_group(group, "link") if stage.groups > 1 else "link"
                data: Data = {"from": block.first, "to": target.first, "group": group, "part": stage.name or "layer"}
                yield Line(start + 3, top + TALL / 2, start + BETWEEN - 3, below + TALL / 2, role, data)


def _common(stage: Stage, block: Block, target: Block) -> int | None:
    """The group in which the one feeds the other; None if there is none."""
    reads, makes = stage.inputs // stage.groups, stage.outputs // stage.groups
    first = max(block.first // reads, target.first // makes)
    last = min((block.last - 1) // reads, (target.last - 1) // makes)
    return first if first <= last else None


def _said(stage: Stage) -> str:
    """depthwise: 3 groups; each makes 1 of 3 output channels from 1 of 3 input channels"""
    reads, makes = stage.inputs // stage.groups, stage.outputs // stage.groups
    name = f"{stage.name}: " if stage.name else ""
    if stage.groups == 1:
        return f"{name}every output channel is made from all {stage.inputs} input channels"
    return (
        f"{name}{stage.groups} groups; each makes {makes} of the {stage.outputs} output channels"
        f" from {reads} of the {stage.inputs} input channels"
    )


def _legend(columns: Sequence[Column]) -> list[tuple[str, str]]:
    """The groups, as long as each has a colour of its own."""
    groups = sorted({block.group for column in columns for block in column.blocks if block.group >= 0})
    return [(of_group(group), f"group {group}") for group in groups] if len(groups) <= len(GROUPS) else []


def _notes(stages: Sequence[Stage], columns: Sequence[Column]) -> Iterator[str]:
    for stage in stages:
        name = f"{stage.name} " if stage.name else ""
        number = prod(stage.weight)
        without = f", 1/{stage.groups} of the {number * stage.groups} without groups" if stage.groups > 1 else ""
        yield f"{name}weight {'x'.join(map(str, stage.weight))} = {number} parameters{without}"
    for column in columns:
        shown = max((block.last for block in column.blocks), default=0)
        if shown < column.channels:
            yield f"{shown} of the {column.channels} channels of the {column.name} are drawn"
