"""A network worked out: every layer settled on the input that reaches it, its output and its receptive field.

Planned once; reports and the verifier only read it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import prod
from typing import Any, cast

import msgspec

from convcli.errors import Path, Problem, SpecError
from convcli.field import first_field, first_seen, seen
from convcli.layers import Field, Layer, Shape


class Entry(msgspec.Struct):
    """One layer of a spec as its reader hands it on: what it is, what feeds it, what it is expected to be and may cost.

    layer: of the types that name no rank, a function of the number of spatial axes of the input; `*` stands for it in
    their `type`. None is a layer that could not be read: what it would feed is lost.
    sources: the layers (or `input`) whose outputs it takes; the layer before it when None. shares: the layer whose
    parameters it uses again. padding: the word it was written with (same, valid), "" for numbers.
    """

    name: str
    type: str
    layer: Layer | Callable[[int], Layer] | None
    input: Shape | None = None
    expect: dict[str, Any] | None = None
    path: Path = ()
    line: int | None = None
    sources: tuple[str, ...] | None = None
    shares: str = ""
    budget: dict[str, Any] | None = None
    padding: str = ""

    def made(self, rank: int) -> Layer:
        """The layer, for an input of so many spatial axes. Raises SpecError when the fields do not fit such."""
        layer = cast("Layer | Callable[[int], Layer]", self.layer)
        return layer if isinstance(layer, Layer) else layer(rank)


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
    def shape(self) -> Shape:
        """The output's, with the batch, in the spec's layout."""
        return self.shown(self.y)

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


class Given(msgspec.Struct, frozen=True):
    """An input: its field is its own cells as soon as somebody says which of its axes are spatial.

    shape: None where the spec gives none.
    """

    shape: Shape | None


Source = Step | Given


def plan(network: Network, *, strict: bool = False) -> Plan:
    """Every layer of `network` worked out. Raises SpecError with all that is wrong, in order.

    strict: a layer of which nobody knows what it costs is wrong too.
    """
    return Plan(network, tuple(steps(network, strict=strict)))


def steps(network: Network, *, strict: bool = False) -> Iterator[Step]:
    """The steps of `plan`, one by one, for who does not keep them; raises when there are no more."""
    problems: list[Problem] = []
    unknown: list[Problem] = []
    for step in steps_of(network.entries, network.input, channels_last=network.channels_last, problems=problems):
        if strict and not step.layer.known:
            told = f"nobody knows what {step.name} ({step.type}) costs"
            unknown.append(Problem(told, step.path, "layers whose cost is known"))
        yield step
    if problems or unknown:  # a repeated block says it once
        raise network.located(SpecError(problems=tuple(dict.fromkeys(problems)) or tuple(unknown)))


def steps_of(
    entries: Sequence[Entry], start: Shape | None, *, channels_last: bool, problems: list[Problem]
) -> Iterator[Step]:
    """The steps one by one; what is wrong goes to `problems`, and the chain resumes where a layer has its own input.

    A layer without a `layer` is a problem that somebody has told already. A source of None is lost: what would have
    been it is broken.
    """
    wanted = {name for entry in entries for name in entry.sources or ()}
    owners = {entry.shares: None for entry in entries if entry.shares}
    before: Source | None = Given(start)
    named = {"input": before}
    weights: dict[str, Step] = {}
    for number, entry in enumerate(entries):
        step = None
        try:
            sources = () if entry.input is not None else _sources(entry, before, named)
            if entry.layer is not None and None not in sources:
                step = _step(entries, number, cast("Sequence[Source]", sources), channels_last=channels_last)
                if entry.shares in weights:
                    _check_shared(step, weights[entry.shares])
        except SpecError as error:
            problems.extend(error.at(*entry.path).problems)
            step = None
        before = step
        if step:
            yield step
            if entry.name in owners:
                weights[entry.name] = step
        if entry.name in wanted:
            named[entry.name] = step


def _sources(entry: Entry, before: Source | None, named: dict[str, Source | None]) -> Sequence[Source | None]:
    """What feeds a layer without an input of its own: the layers that it names, or the one before it."""
    if entry.sources is None:
        return [before]
    for place, name in enumerate(entry.sources):
        if name not in named:
            raise SpecError(
                f"no layer before this one is named {name!r}",
                field="from",
                allowed="`input`, or the name of a layer above",
            ).at(*(("from", place) if len(entry.sources) > 1 else ())) from None
    return [named[name] for name in entry.sources]


def _step(entries: Sequence[Entry], number: int, sources: Sequence[Source], *, channels_last: bool) -> Step:
    """The step of an entry on its own input, or else on its sources."""
    entry = entries[number]
    own = entry.input
    shapes = (own,) if own is not None else tuple([one.shape for one in sources if one.shape is not None])
    layer = entry.layer
    if not isinstance(layer, Layer):
        layer = entry.made(max(1, len(shapes[0]) - 2) if shapes else 1)
    if layer.arity[1] == 0:
        shapes = ()
    elif len(shapes) < len(sources) and (layer.arity[0] or entry.sources):
        raise SpecError(
            "no input reaches this layer",
            field="input",
            allowed="`input` in the layer or at the top of the spec",
            repair="-i 1,3,224,224",
        )
    batch, x, layer = layer.on(shapes, channels_last=channels_last)
    y = layer.output(x)
    first = len(batch) + (not channels_last)
    if own is not None and layer.spatial and len(x) > 1:  # as below, in short
        field = first_seen(layer.links(x), x[1:], first)
    else:
        flows = [Given(own)] if own is not None else sources
        fields = [_field(one, entries, number, layer, channels_last=channels_last) for one in flows if shapes]
        field = seen(layer, x, first, fields, (*batch, *y))
    type_ = entry.type.replace("*", str(layer.rank)) if "*" in entry.type else entry.type
    return Step(
        entry.name,
        type_,
        layer,
        batch,
        x,
        y,
        field,
        channels_last,
        entry.expect,
        entry.path,
        entry.line,
        entry.sources,
        entry.shares,
    )


def _field(source: Source, entries: Sequence[Entry], number: int, layer: Layer, *, channels_last: bool) -> Field | None:
    """What reaches a layer as its cells' field; that of an input when somebody says which of its axes are spatial."""
    if isinstance(source, Step):
        return source.field
    if source.shape is None:
        return None
    return first_field(source.shape, spatial_rank(entries, number, layer, source.shape), channels_last=channels_last)


def spatial_rank(entries: Sequence[Entry], number: int, layer: Layer, shape: Shape) -> int:
    """The number of spatial axes of an input: what the first layer that works along such takes, from `number` on."""
    usual = max(0, len(shape) - 2)
    rank = layer.rank if layer.spatial else 0
    if not rank:
        rank = next((found for entry in entries[number:] if (found := _rank(entry, usual))), 0)
    return rank if 0 < rank < len(shape) else usual


def _rank(entry: Entry, usual: int) -> int:
    """The number of spatial axes along which a layer works, 0 for none."""
    try:
        layer = entry.made(usual) if entry.layer else None
    except SpecError:  # told where it stands
        return 0
    return layer.rank if layer and layer.spatial else 0


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
