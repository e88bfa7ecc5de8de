"""A network worked out: every layer settled on the input that reaches it, its output and its receptive field.

Planned once; reports and the verifier only read it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import prod
from typing import Any, cast

import msgspec

from convcli.axis import Reach
from convcli.errors import Path, Problem, SpecError
from convcli.layers import Field, Layer, Shape

NOTHING: Field = (Reach(0, 0, 0),)  # the field of what no input reaches: a learned tensor


class Entry(msgspec.Struct):
    """One layer of a spec as its reader hands it on: what it is, what feeds it, what it is expected to be and may cost.

    layer: takes the number of spatial axes of the input, which only the types that name no rank look at; `*` stands for
    it in their `type`. None is a layer that could not be read: what it would feed is lost.
    sources: the layers (or `input`) whose outputs it takes; the layer before it when None. shares: the layer whose
    parameters it uses again. padding: the word it was written with (same, valid), "" for numbers.
    """

    name: str
    type: str
    layer: Callable[[int], Layer] | None
    input: Shape | None = None
    expect: dict[str, Any] | None = None
    path: Path = ()
    line: int | None = None
    sources: tuple[str, ...] | None = None
    shares: str = ""
    budget: dict[str, Any] | None = None
    padding: str = ""


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
    """A layer at its place in a network: settled, with its input x and output y and the batch.

    x and y are (channels, *space) of a layer that works along spatial axes, whole shapes of the others, whose batch
    is (). field: None where nobody can tell what an output cell sees.
    """

    name: str
    type: str
    layer: Layer
    batch: Shape
    x: Shape
    y: Shape
    field: Field | None
    channels_last: bool = False
    expect: dict[str, Any] | None = None
    path: Path = ()
    line: int | None = None
    sources: tuple[str, ...] | None = None
    shares: str = ""

    @property
    def images(self) -> int:
        """The batch size, 1 without a batch axis."""
        return prod(self.batch)

    def shown(self, shape: Shape) -> Shape:
        """A shape (channels, *space) with the batch, in the spec's layout."""
        last = self.channels_last and self.layer.spatial
        return (*self.batch, *shape[1:], shape[0]) if last else (*self.batch, *shape)


class Plan(msgspec.Struct, frozen=True):
    """The steps of a network, in order."""

    network: Network
    steps: tuple[Step, ...]


class Flow(msgspec.Struct, frozen=True):
    """What comes out of a layer: a shape, None where nothing does, and the field of its cells; () for none yet."""

    shape: Shape | None
    field: Field | None = ()


def plan(network: Network) -> Plan:
    """Every layer of `network` worked out. Raises SpecError with all that is wrong, in order."""
    problems: list[Problem] = []
    steps = tuple(steps_of(network.entries, network.input, channels_last=network.channels_last, problems=problems))
    if problems:
        raise network.located(SpecError(problems=tuple(problems)))
    return Plan(network, steps)


def steps_of(
    entries: Sequence[Entry], start: Shape | None, *, channels_last: bool, problems: list[Problem]
) -> Iterator[Step]:
    """The steps one by one; what is wrong goes to `problems`, and the chain resumes where a layer has its own input.

    A layer without a `layer` is a problem that somebody has told already. A flow of None is lost: what would have
    given it is broken.
    """
    wanted = {name for entry in entries for name in entry.sources or ()}
    owners = {entry.shares: None for entry in entries if entry.shares}
    flow: Flow | None = Flow(start)
    given: dict[str, Flow | None] = {"input": flow}
    weights: dict[str, Step] = {}
    for entry in entries:
        try:
            flows = _flows(entry, flow, given)
            lost = entry.layer is None or None in flows
            step = None if lost else _step(entry, cast("list[Flow]", flows), channels_last=channels_last)
            if step and entry.shares in weights:
                _check_shared(step, weights[entry.shares])
        except SpecError as error:
            problems.extend(error.at(*entry.path).problems)
            step = None
        flow = None
        if step:
            yield step
            flow = Flow(step.shown(step.y), step.field)
            if entry.name in owners:
                weights[entry.name] = step
        if entry.name in wanted:
            given[entry.name] = flow


def _flows(entry: Entry, before: Flow | None, given: dict[str, Flow | None]) -> list[Flow | None]:
    """What feeds a layer: its own input, the layers that it names, or the one before it."""
    if entry.input is not None:
        return [Flow(entry.input)]
    if entry.sources is None:
        return [before]
    for place, name in enumerate(entry.sources):
        if name not in given:
            raise SpecError(
                f"no layer before this one is named {name!r}",
                field="from",
                allowed="`input`, or the name of a layer above",
            ).at(*(("from", place) if len(entry.sources) > 1 else ())) from None
    return [given[name] for name in entry.sources]


def _step(entry: Entry, flows: list[Flow], *, channels_last: bool) -> Step:
    shapes = tuple([flow.shape for flow in flows if flow.shape is not None])
    layer = cast("Callable[[int], Layer]", entry.layer)(max(1, len(shapes[0]) - 2 if shapes else 0))
    if layer.arity[1] == 0:
        shapes = ()
    elif len(shapes) < len(flows):
        raise SpecError(
            "no input reaches this layer",
            field="input",
            allowed="`input` in the layer or at the top of the spec",
            repair="-i 1,3,224,224",
        )
    batch, x, layer = layer.on(shapes, channels_last=channels_last)
    y = layer.output(x)
    field = _joined([flow.field for flow in flows]) if shapes else NOTHING
    if field is not None and field != NOTHING:
        rank = layer.rank if layer.spatial else len(field)
        field = layer.reach(x, field if len(field) == rank else (Reach(),) * rank)
    type_ = entry.type.replace("*", str(layer.rank)) if "*" in entry.type else entry.type
    told = (entry.expect, entry.path, entry.line, entry.sources, entry.shares)
    return Step(entry.name, type_, layer, batch, x, y, field, channels_last, *told)


def _joined(fields: list[Field | None]) -> Field | None:
    """The field that holds all of them; None where nobody can tell, or where they move at different speeds."""
    if len(fields) == 1:
        return fields[0]
    seen = [field for field in fields if field != NOTHING]
    rank = max((len(field) for field in seen if field), default=0)
    found: Field | None = seen[0] if seen else NOTHING
    for field in seen[1:]:
        if found is None or field is None:
            return None
        pairs = zip(found or (Reach(),) * rank, field or (Reach(),) * rank, strict=False)
        joined = [one.union(other) for one, other in pairs]
        found = None if None in joined or len(joined) != rank else tuple(cast("list[Reach]", joined))
    return found


def _check_shared(step: Step, owner: Step) -> None:
    """Parameters that are used again must be of the shapes that this place needs."""
    needed, there = step.layer.tensors(step.x), owner.layer.tensors(owner.x)
    if needed != there:
        raise SpecError(
            f"this place needs {_listed(needed)}, {owner.name!r} has {_listed(there)}",
            field="shares",
            allowed="a layer whose parameters have the same shapes",
        )


def _listed(tensors: dict[str, Shape]) -> str:
    return ", ".join(f"{name} {list(shape)}" for name, shape in tensors.items()) or "no parameters"
