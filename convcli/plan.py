"""A network worked out: every layer settled on the input that reaches it, its output and its receptive field.

Planned once; reports and the verifier only read it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import prod
from typing import Any, cast

import msgspec

from convcli.errors import Path, Problem, SpecError
from convcli.field import first_field, seen
from convcli.layers import Field, Layer, Shape


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


def place_of(planned: Plan, name: str) -> int:
    """The number of the step that is named so; SpecError proposes the nearest name."""
    names = [step.name for step in planned.steps]
    if name in names:
        return names.index(name)
    from difflib import get_close_matches  # a slow import that only errors need

    near = get_close_matches(name, names, n=1)
    where = planned.network.source or planned.network.name or "the network"
    raise SpecError(f"no layer of {where} is named {name!r}", field="--layer", repair=near[0] if near else "")


def complete(planned: Plan) -> Plan:
    """`planned` itself; SpecError names every layer of which nobody knows what it costs."""
    problems = [
        Problem(f"nobody knows what {step.name} ({step.type}) costs", step.path, "layers whose cost is known")
        for step in planned.steps
        if not step.layer.known
    ]
    if problems:
        raise planned.network.located(SpecError(problems=tuple(problems)))
    return planned


class Flow(msgspec.Struct, frozen=True):
    """What comes out of a layer: a shape, None where nothing does, and the field of its cells.

    fresh: an input, whose field is its own cells as soon as somebody says which axes are spatial.
    """

    shape: Shape | None
    field: Field | None = None
    fresh: bool = False


def plan(network: Network) -> Plan:
    """Every layer of `network` worked out. Raises SpecError with all that is wrong, in order."""
    problems: list[Problem] = []
    steps = tuple(steps_of(network.entries, network.input, channels_last=network.channels_last, problems=problems))
    if problems:
        raise network.located(SpecError(problems=tuple(dict.fromkeys(problems))))  # a repeated block says it once
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
    flow: Flow | None = Flow(start, fresh=True)
    given: dict[str, Flow | None] = {"input": flow}
    weights: dict[str, Step] = {}
    for number, entry in enumerate(entries):
        try:
            flows = _flows(entry, flow, given)
            lost = entry.layer is None or None in flows
            step = None if lost else _step(entries, number, cast("list[Flow]", flows), channels_last=channels_last)
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
        return [Flow(entry.input, fresh=True)]
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


def _step(entries: Sequence[Entry], number: int, flows: list[Flow], *, channels_last: bool) -> Step:
    entry = entries[number]
    shapes = tuple([flow.shape for flow in flows if flow.shape is not None])
    layer = cast("Callable[[int], Layer]", entry.layer)(max(1, len(shapes[0]) - 2 if shapes else 0))
    if layer.arity[1] == 0:
        shapes = ()
    elif len(shapes) < len(flows) and (layer.arity[0] or entry.sources):
        raise SpecError(
            "no input reaches this layer",
            field="input",
            allowed="`input` in the layer or at the top of the spec",
            repair="-i 1,3,224,224",
        )
    batch, x, layer = layer.on(shapes, channels_last=channels_last)
    y = layer.output(x)
    type_ = entry.type.replace("*", str(layer.rank)) if "*" in entry.type else entry.type
    told = (entry.expect, entry.path, entry.line, entry.sources, entry.shares)
    fields = [_field(flow, entries, number, layer, channels_last=channels_last) for flow in flows] if shapes else []
    field = seen(layer, x, len(batch) + (not channels_last), fields, (*batch, *y))
    return Step(entry.name, type_, layer, batch, x, y, field, channels_last, *told)


def _field(flow: Flow, entries: Sequence[Entry], number: int, layer: Layer, *, channels_last: bool) -> Field | None:
    """What reaches a layer as its cells' field; that of an input when somebody says which of its axes are spatial."""
    if not flow.fresh or flow.shape is None:
        return flow.field
    return first_field(flow.shape, spatial_rank(entries, number, layer, flow.shape), channels_last=channels_last)


def spatial_rank(entries: Sequence[Entry], number: int, layer: Layer, shape: Shape) -> int:
    """The number of spatial axes of an input: what the first layer that works along such takes, from `number` on."""
    usual = max(0, len(shape) - 2)
    if not (layer.spatial and layer.rank):
        made = (_made(entry, usual) for entry in entries[number:])
        layer = next((one for one in made if one and one.spatial and one.rank), layer)
    return layer.rank if layer.spatial and 0 < layer.rank < len(shape) else usual


def _made(entry: Entry, rank: int) -> Layer | None:
    try:
        return entry.layer(rank) if entry.layer else None
    except SpecError:  # told where it stands
        return None


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
