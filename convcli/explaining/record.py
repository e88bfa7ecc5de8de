"""`explain` as data: its JSON is these records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET, UnsetType

from convcli._version import __version__
from convcli.errors import SpecError
from convcli.explaining import fields
from convcli.explaining.kinds import equation, sections
from convcli.explaining.subject import Section, Subject
from convcli.layers import Shape
from convcli.plan import Network, Plan, place_of, plan
from convcli.receptive.footprint import Graph
from convcli.receptive.record import cell_in
from convcli.records import SCHEMA, Scope, step_record

if TYPE_CHECKING:
    from convcli.layers import Part
    from convcli.records import LayerRecord


class LayerExplanation(msgspec.Struct, frozen=True, kw_only=True):
    """One layer, or one part of a composite: what it works out, and section by section the formulas."""

    name: str
    type: str
    line: int | UnsetType = UNSET
    input: Shape
    output: Shape
    equation: str
    sections: tuple[Section, ...]
    parts: tuple[LayerExplanation, ...] = ()


class NetworkExplanation(msgspec.Struct, frozen=True):
    """The layers of one spec."""

    source: str
    name: str
    layers: tuple[LayerExplanation, ...]


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """The whole answer."""

    schema: int = SCHEMA
    convcli: str = __version__
    command: str = "explain"
    reports: tuple[NetworkExplanation, ...]


def explain(
    *networks: Network | Plan,
    layer: str | None = None,
    cell: Sequence[int] | None = None,
    sections: Sequence[str] = (),
) -> Explanation:
    """Every formula of every layer with the layer's numbers put in: sizes, parameters, MACs, FLOPs, bytes, field.

    layer: the name of the one to explain, all of them when left out. cell: of that layer's output, an index per spatial
    axis, whose taps are listed. sections: parts of the titles of those that are wanted; all of them when left out.
    Raises SpecError with all that is wrong in the networks, or for a name, a cell or a title that is not there.
    """
    planned = [one if isinstance(one, Plan) else plan(one) for one in networks]
    steps = sum(len(one.steps) for one in planned)
    if cell is not None and layer is None and steps > 1:
        raise SpecError(f"there are {steps} layers", field="--cell", allowed="one layer: name it with --layer")
    told = tuple([_network(one, layer, cell) for one in planned])
    return Explanation(reports=_chosen(told, sections) if sections else told)


def _chosen(told: tuple[NetworkExplanation, ...], wanted: Sequence[str]) -> tuple[NetworkExplanation, ...]:
    """The sections whose titles hold one of the words, and the layers that have such."""
    titles = {section.title: None for network in told for layer in network.layers for section in _all_sections(layer)}
    for word in wanted:
        if not any(word.lower() in title.lower() for title in titles):
            raise SpecError(f"no section is called {word!r}", field="--section", allowed=", ".join(titles))
    kept = {title for title in titles if any(word.lower() in title.lower() for word in wanted)}
    return tuple(msgspec.structs.replace(network, layers=tuple(_only(network.layers, kept))) for network in told)


def _all_sections(layer: LayerExplanation) -> Iterator[Section]:
    yield from layer.sections
    for part in layer.parts:
        yield from part.sections


def _only(layers: tuple[LayerExplanation, ...], titles: set[str]) -> Iterator[LayerExplanation]:
    for layer in layers:
        sections = tuple([section for section in layer.sections if section.title in titles])
        parts = tuple(_only(layer.parts, titles))
        if sections or parts:
            yield msgspec.structs.replace(layer, sections=sections, parts=parts)


def _network(planned: Plan, layer: str | None, cell: Sequence[int] | None) -> NetworkExplanation:
    graph = Graph(planned)
    numbers = range(len(planned.steps)) if layer is None else [place_of(planned, layer)]
    told = [_layer(graph, number, cell) for number in numbers]
    return NetworkExplanation(planned.network.source, planned.network.name, tuple(told))


def _layer(graph: Graph, number: int, cell: Sequence[int] | None) -> LayerExplanation:
    step, entry, feeds = graph.steps[number], graph.plan.network.entries[number], graph.feeds[number]
    made = entry.made(step.layer.rank)
    subject = Subject(
        layer=step.layer,
        said=made,
        padding=entry.padding,
        x=step.x,
        y=step.y,
        images=step.images,
        record=step_record(step, Scope("summary", backward=True)),
        before=feeds[0].field if len(feeds) == 1 else None,
        cell=None if cell is None else cell_in(step, step.y[1:] if step.layer.spatial else (), cell, "--cell"),
        shares=step.shares,
    )
    told = _told(subject)
    seen = tuple(fields.gridding(graph, number))
    return msgspec.structs.replace(
        told, line=UNSET if step.line is None else step.line, sections=(*told.sections, *seen)
    )


def _told(subject: Subject) -> LayerExplanation:
    record = subject.record
    parts = subject.layer.parts(subject.x)
    return LayerExplanation(
        name=record.name,
        type=record.type,
        input=_shape(record.input),
        output=_shape(record.output),
        equation=equation(subject),
        sections=tuple(sections(subject)),
        parts=tuple([_part(subject, part, told) for part, told in zip(parts, record.parts or (), strict=True)]),
    )


def _part(subject: Subject, part: Part, record: LayerRecord) -> LayerExplanation:
    """A part of a composite: its padding is the whole's, if its windows are."""
    layer = part.layer
    slides = len(layer.axes) == len(subject.layer.axes) and any(axis.kernel > 1 for axis in layer.axes)
    told = Subject(
        layer=layer,
        said=subject.said if slides else layer,
        padding=subject.padding if slides else "",
        x=part.x,
        y=layer.output(part.x),
        images=prod(part.of((subject.images,))),
        record=record,
        cell=subject.cell,
        shares=subject.shares,
    )
    return _told(told)


def _shape(shape: Shape | UnsetType) -> Shape:
    return () if shape is UNSET else shape
