"""A network worked out: every layer settled on the input that reaches it, its output and its receptive field.

Planned once; reports and the verifier only read it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from math import prod
from typing import Any, cast

import msgspec

from convcli.axis import Reach
from convcli.errors import Path, Problem, SpecError
from convcli.layers import Field, Layer, Shape, split_batch


class Entry(msgspec.Struct):
    """One layer of a spec as its reader hands it on: what it is, what feeds it, what it is expected to be.

    layer: takes the number of spatial axes of the input, which only the types that name no rank look at; `*` stands for
    it in their `type`. None is a layer that could not be read: what it would feed is lost.
    """

    name: str
    type: str
    layer: Callable[[int], Layer] | None
    input: Shape | None = None
    expect: dict[str, Any] | None = None
    path: Path = ()
    line: int | None = None


class Network(msgspec.Struct):
    """A spec: its layers in order, and the input (N, C, *space) or (C, *space) that reaches the first of them."""

    entries: list[Entry]
    name: str = ""
    source: str = ""
    input: Shape | None = None
    channels_last: bool = False
    budget: dict[str, Any] | None = None
    located: Callable[[SpecError], SpecError] = lambda error: error  # knows the text that the layers come from


class Step(msgspec.Struct, frozen=True):
    """A layer at its place in a network: settled, with its input x and output y (channels, *space) and the batch."""

    name: str
    type: str
    layer: Layer
    batch: Shape
    x: Shape
    y: Shape
    field: Field
    channels_last: bool = False
    expect: dict[str, Any] | None = None
    path: Path = ()
    line: int | None = None

    @property
    def images(self) -> int:
        """The batch size, 1 without a batch axis."""
        return prod(self.batch)

    def shown(self, shape: Shape) -> Shape:
        """A shape (channels, *space) with the batch, in the spec's layout."""
        return (*self.batch, *shape[1:], shape[0]) if self.channels_last else (*self.batch, *shape)


class Plan(msgspec.Struct, frozen=True):
    """The steps of a network, in order."""

    network: Network
    steps: tuple[Step, ...]


def plan(network: Network) -> Plan:
    """Every layer of `network` worked out. Raises SpecError with all that is wrong, in order."""
    problems: list[Problem] = []
    steps = tuple(steps_of(network.entries, network.input, channels_last=network.channels_last, problems=problems))
    if problems:
        raise network.located(SpecError(problems=tuple(problems)))
    return Plan(network, steps)


def steps_of(
    entries: Iterable[Entry], start: Shape | None, *, channels_last: bool, problems: list[Problem]
) -> Iterator[Step]:
    """The steps one by one; what is wrong goes to `problems`, and the chain resumes where a layer has its own input.

    A layer without a `layer` is a problem that somebody has told already.
    """
    shape = start
    field: Field = ()
    lost = False  # a broken layer came before, its output is unknown
    for entry in entries:
        if entry.input is not None:
            shape, field, lost = entry.input, (), False
        lost = lost or entry.layer is None
        if lost:
            continue
        try:
            if shape is None:
                raise SpecError(  # noqa: TRY301 - collected like every other problem
                    "no input reaches this layer",
                    field="input",
                    allowed="`input` in the layer or at the top of the spec",
                    repair="-i 1,3,224,224",
                )
            step = _step(entry, shape, field, channels_last=channels_last)
        except SpecError as error:
            problems.extend(error.at(*entry.path).problems)
            lost = True
            continue
        yield step
        shape, field = step.shown(step.y), step.field


def _step(entry: Entry, shape: Shape, field: Field, *, channels_last: bool) -> Step:
    layer = cast("Callable[[int], Layer]", entry.layer)(max(1, len(shape) - 2))
    rank = len(layer.axes)
    batch, x = split_batch(shape, rank)
    if channels_last:
        x = (x[-1], *x[:-1])
    layer = layer.settled(x)
    y = layer.output(x)
    reach = layer.reach(x, field if len(field) == rank else (Reach(),) * rank)
    type_ = entry.type.replace("*", str(rank)) if "*" in entry.type else entry.type
    return Step(entry.name, type_, layer, batch, x, y, reach, channels_last, entry.expect, entry.path, entry.line)
