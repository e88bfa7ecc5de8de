"""`receptive-field` as data: its JSON is these records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import TYPE_CHECKING, cast

import msgspec
from msgspec import UNSET, UnsetType

from convcli import records
from convcli._version import __version__
from convcli.errors import SpecError
from convcli.field import NOTHING
from convcli.layers import Shape
from convcli.layers.transposed import ConvTranspose
from convcli.plan import Network, Plan, place_of, plan
from convcli.reach import members
from convcli.receptive import gridding
from convcli.receptive.footprint import INPUT, Graph, check_length, volume
from convcli.records import SCHEMA, ReceptiveField

if TYPE_CHECKING:
    from convcli.layers import Field
    from convcli.plan import Step
    from convcli.reach import Reach


class Cause(msgspec.Struct, frozen=True):
    """A layer without whose gaps there would be fewer holes. reason: dilation 2; stride 2 > kernel_size 1."""

    layer: str
    reason: str
    line: int | UnsetType = UNSET


class Cure(msgspec.Struct, frozen=True):
    """Dilation rates by layer that leave no holes, and the size of the field that they give."""

    dilation: dict[str, int]
    size: int


class AxisField(msgspec.Struct, frozen=True):
    """One axis, in cells of the input (from 0).

    field: first and last cell of the closed form, padding included. touched: the cells that are really read, as
    [first, count, distance] of their runs. cells: how many they are; holes: those missing between first and last.
    """

    at: int | None
    field: tuple[int, int] | None
    touched: tuple[tuple[int, int, int], ...]
    cells: int
    holes: int
    causes: tuple[Cause, ...] = ()
    cure: Cure | UnsetType = UNSET


class CellRecord(msgspec.Struct, frozen=True):
    """What one output cell of a network, or of one of its layers, sees.

    at: the cell, an index per spatial axis. cells: of the input, all axes together; holes and untouched: those inside
    the box around them that are not read, and their share. uneven: transposed layers whose stride does not divide the
    kernel, so that neighbouring cells are sums of different numbers of terms (checkerboards).
    """

    source: str
    name: str
    layer: str
    type: str
    input: Shape
    output: Shape
    at: Shape
    receptive_field: ReceptiveField
    axes: tuple[AxisField, ...]
    cells: int
    holes: int
    untouched: float
    gridding: bool
    uneven: tuple[str, ...] = ()
    line: int | UnsetType = UNSET


class FieldReport(msgspec.Struct, frozen=True):
    """The whole answer."""

    schema: int
    convcli: str
    command: str
    reports: tuple[CellRecord, ...]


def receptive_field(
    *networks: Network | Plan, layer: str | None = None, at: Sequence[int] | None = None
) -> FieldReport:
    """What an output cell of each network sees: the closed form, the cells, holes, their causes and a cure.

    layer: the name of the layer whose output it is, the last one when left out. at: the cell, one index per spatial
    axis; the middle when left out. Raises SpecError where that cannot be told.
    """
    planned = [one if isinstance(one, Plan) else plan(one) for one in networks]
    return FieldReport(
        SCHEMA,
        __version__,
        "receptive-field",
        tuple([cell_record(Graph(one), _target(one, layer), at) for one in planned]),
    )


def cell_record(graph: Graph, target: int, at: Sequence[int] | None = None, *, flag: str = "--at") -> CellRecord:
    """What a cell of step `target` sees, the middle one unless it is said. SpecError where that cannot be told.

    flag: the one that `at` was typed with.
    """
    planned, step = graph.plan, graph.steps[target]
    field = _known(graph, target)
    there = [None if reach.place is None else step.shown(step.y)[reach.place] for reach in field]
    cell = cell_in(step, [size for size in there if size is not None], at, flag)
    places = iter(cell)
    indices = [None if size is None else next(places) for size in there]
    for size in there:
        check_length(size or 0)
    sets = [1 << (index or 0) for index in indices]
    path = graph.path(target)
    boxes = graph.footprint(target, sets, range(len(field)))
    cells = volume(boxes)
    traces = [gridding.Trace(graph, target, axis, cells) for axis, cells in enumerate(sets)]
    found: dict[object, AxisField] = {}  # both axes of a square network have one answer
    for trace, reach, index, size in zip(traces, field, indices, there, strict=True):
        if (trace.way, index, size) not in found:
            found[trace.way, index, size] = _axis(trace, reach, index, size)
    axes = tuple([found[trace.way, index, size] for trace, index, size in zip(traces, indices, there, strict=True)])
    box = prod(axis.cells + axis.holes for axis in axes)
    return CellRecord(
        source=planned.network.source,
        name=planned.network.name,
        layer=step.name,
        type=step.type,
        input=_input(graph, path),
        output=step.shown(step.y),
        at=cell,
        receptive_field=cast("ReceptiveField", records.receptive_field(field)),
        axes=axes,
        cells=cells,
        holes=box - cells,
        untouched=round(1 - cells / box, 4) if box else 0.0,
        gridding=any(axis.holes for axis in axes),
        uneven=tuple(_uneven([planned.steps[number] for number in path])),
        line=UNSET if step.line is None else step.line,
    )


def _target(planned: Plan, layer: str | None) -> int:
    """The number of the step that is asked for."""
    if layer is None:  # the last one that sees anything: a learned tensor may stand behind it
        seeing = [number for number, step in enumerate(planned.steps) if step.field is not NOTHING]
        return seeing[-1] if seeing else len(planned.steps) - 1
    return place_of(planned, layer)


def _known(graph: Graph, target: int) -> Field:
    """The field of a step. SpecError names the layer at which it was lost."""
    step = graph.steps[target]
    if step.field is NOTHING:
        raise SpecError(f"no input reaches {step.name!r}", field="--layer", allowed="a layer that sees the input")
    if step.field == ():
        raise SpecError(f"the input of {step.name!r} has no spatial axis", field="--layer")
    if step.field is not None and told(step):
        return step.field
    number = _lost(graph, target)
    seeing = [one for one in graph.steps[:number] if one.field is not NOTHING and told(one)]
    lost, known = graph.steps[number], [one.name for one in seeing if one.field]
    raise SpecError(
        f"which cells {step.name!r} sees cannot be told: {lost.name!r} ({lost.type}) puts them where no axis follows",
        field="--layer",
        allowed="a layer before it",
        repair=f"--layer {known[-1]}" if known else "",
    )


def told(step: Step) -> bool:
    """Whether the field of each of its cells is known by itself; None and merged ones are not."""
    return step.field is not None and not any(reach.merged for reach in step.field)


def _lost(graph: Graph, target: int) -> int:
    """The first step on the way to `target` whose field is lost, or merged, though those before it are not."""
    lost = graph.steps[target].field is None
    number = target
    while True:
        sources = [source for source in graph.sources(number) if source != INPUT]
        worse = [s for s in sources if graph.steps[s].field is None or not (lost or told(graph.steps[s]))]
        if not worse:
            return number
        number = worse[0]


def cell_in(step: Step, sizes: Sequence[int], at: Sequence[int] | None, flag: str) -> Shape:
    """The cell that is asked for, the middle one unless it is said."""
    if at is None:
        return tuple([size // 2 for size in sizes])
    if len(at) != len(sizes):
        axes = "axis" if len(sizes) == 1 else "axes"
        raise SpecError(f"{list(at)} does not fit {len(sizes)} {axes} of {step.name!r}", field=flag)
    for index, size in zip(at, sizes, strict=True):
        if not 0 <= index < size:
            raise SpecError(f"{index} is no cell of {step.name!r}", field=flag, allowed=f"0 to {size - 1}")
    return tuple(at)


def _axis(trace: gridding.Trace, reach: Reach, index: int | None, size: int | None) -> AxisField:
    seen = trace.seen()
    found = gridding.causes(trace)
    steps = trace.graph.steps
    middle = msgspec.structs.replace(trace, cell=1 << (size or 0) // 2)  # a cure is for all cells, not for a border's
    rates = gridding.cure(middle, found)
    cure: Cure | UnsetType = UNSET
    if rates is not None:
        reached = gridding.span(middle.seen(gridding.redilated(found, rates)))
        cure = Cure({steps[number].name: rate for number, rate in rates.items()}, reached)
    return AxisField(
        at=index,
        field=reach.at(index or 0),
        touched=tuple(gridding.runs(list(members(seen)))),
        cells=seen.bit_count(),
        holes=gridding.holes(seen),
        causes=tuple(
            [
                Cause(steps[number].name, gridding.reason(link), cast("int", steps[number].line or UNSET))
                for number, link in found.items()
            ]
        ),
        cure=cure,
    )


def _input(graph: Graph, path: list[int]) -> Shape:
    """The shape of an input that is seen."""
    return next(feed.shape for number in path for feed in graph.feeds[number] if feed.source == INPUT)


def _uneven(steps: Sequence[Step]) -> Iterator[str]:
    """Transposed layers whose output cells are sums of different numbers of terms."""
    for step in steps:
        if isinstance(step.layer, ConvTranspose) and any(axis.kernel % axis.stride for axis in step.layer.axes):
            yield step.name
