"""`explain` as data: its JSON is these records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET, UnsetType

from convcli._version import __version__
from convcli.errors import SpecError
from convcli.explaining import fields
from convcli.explaining.kinds import equation, sections
from convcli.explaining.subject import Section, Subject
from convcli.layers import Shape
from convcli.plan import Network, Plan, plan
from convcli.receptive.footprint import Graph
from convcli.records import SCHEMA, Scope, step_record

if TYPE_CHECKING:
    from convcli.layers import Layer
    from convcli.plan import Step
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


def explain(*networks: Network | Plan, layer: str | None = None, cell: Sequence[int] | None = None) -> Explanation:
    """Every formula of every layer with the layer's numbers put in: sizes, parameters, MACs, FLOPs, bytes, field.

    layer: the name of the one to explain, all of them when left out. cell: of that layer's output, an index per spatial
    axis, whose taps are listed. Raises SpecError with all that is wrong in the networks, or for a name or a cell that
    is not there.
    """
    planned = [one if isinstance(one, Plan) else plan(one) for one in networks]
    steps = sum(len(one.steps) for one in planned)
    if cell is not None and layer is None and steps > 1:
        raise SpecError(f"there are {steps} layers", field="--cell", allowed="one layer: name it with --layer")
    return Explanation(reports=tuple([_network(one, layer, cell) for one in planned]))


def _network(planned: Plan, layer: str | None, cell: Sequence[int] | None) -> NetworkExplanation:
    graph = Graph(planned)
    told = [
        _layer(graph, number, cell) for number, step in enumerate(planned.steps) if layer is None or step.name == layer
    ]
    if not told and layer is not None:
        raise unnamed(planned, layer)
    return NetworkExplanation(planned.network.source, planned.network.name, tuple(told))


def unnamed(planned: Plan, layer: str) -> SpecError:
    """That no layer is named so, and which one is nearly."""
    from difflib import get_close_matches  # a slow import that only errors need

    near = get_close_matches(layer, [step.name for step in planned.steps], n=1)
    where = planned.network.source or planned.network.name or "the network"
    return SpecError(f"no layer of {where} is named {layer!r}", field="--layer", repair=near[0] if near else "")


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
        cell=_cell(step, cell),
        shares=step.shares,
    )
    told = _told(subject)
    seen = tuple(fields.gridding(graph.plan, step))
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
        parts=tuple(
            [_part(subject, part.layer, part.x, told) for part, told in zip(parts, record.parts or (), strict=True)]
        ),
    )


def _part(subject: Subject, layer: Layer, x: Shape, record: LayerRecord) -> LayerExplanation:
    """A part of a composite: its padding is the whole's, if its windows are."""
    slides = len(layer.axes) == len(subject.layer.axes) and any(axis.kernel > 1 for axis in layer.axes)
    part = Subject(
        layer=layer,
        said=subject.said if slides else layer,
        padding=subject.padding if slides else "",
        x=x,
        y=layer.output(x),
        images=subject.images,
        record=record,
    )
    return _told(part)


def _shape(shape: Shape | UnsetType) -> Shape:
    return () if shape is UNSET else shape


def _cell(step: Step, cell: Sequence[int] | None) -> Shape | None:
    """The cell that is asked for; SpecError where it is none of the layer's output."""
    if cell is None:
        return None
    sizes = step.y[1:] if step.layer.spatial else ()
    if len(cell) != step.layer.rank or not sizes:
        raise SpecError(f"{list(cell)} does not fit the output {list(step.y)} of {step.name!r}", field="--cell")
    for index, size in zip(cell, sizes, strict=True):
        if not 0 <= index < size:
            raise SpecError(f"{index} is no cell of {step.name!r}", field="--cell", allowed=f"0 to {size - 1}")
    return tuple(cell)
