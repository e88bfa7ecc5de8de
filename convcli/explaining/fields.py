"""What the layer makes of the receptive field, and the holes that dilation leaves in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET

from convcli.errors import SpecError
from convcli.explaining.subject import Section
from convcli.explaining.working import LETTERS, alike, working, written
from convcli.reach import SAME, Scatter, Window
from convcli.receptive.record import cell_record
from convcli.records import receptive_field as known

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.explaining.subject import Subject
    from convcli.explaining.working import Working
    from convcli.reach import Link
    from convcli.receptive.footprint import Graph
    from convcli.receptive.record import AxisField, CellRecord
    from convcli.records import ReceptiveField

SIZE = "size + (span - 1) * jump"
MOST_TAPS = 1000  # of kernels whose cells are followed one by one
START = "start + ((span - 1) / 2 - before) * jump"


def field(subject: Subject) -> Iterator[Section]:
    """Size, jump and start of the output's field from those of the input's, in cells of the network's input."""
    told, before = subject.record.receptive_field, UNSET if subject.before is None else known(subject.before)
    if told is UNSET or not told.size or not subject.layer.spatial:
        return
    links = subject.layer.links(subject.x)
    if len(links) != len(told.size) or all(link is SAME for link in links):
        return
    turns = 0 if subject.before is None else max(len(reach.ends) for reach in subject.before)
    steps = tuple(_updates(links, before, told)) if before is not UNSET and turns == 1 else ()
    if before is UNSET or not steps:
        yield Section("receptive field", ("in cells of the input:", *_numbers(told)))
        return
    after = () if all(isinstance(link, Window) for link in links) else ("after it:", *_numbers(told))
    yield Section("receptive field", ("in cells of the input; before this layer:", *_numbers(before), *after), steps)


def _numbers(told: ReceptiveField) -> Iterator[str]:
    for names, place in alike(LETTERS[len(told.size)], list(zip(told.size, told.jump, told.start, strict=True))):
        size, jump, start = (written(numbers[place]) for numbers in (told.size, told.jump, told.start))
        yield f"{names}: size {size}, jump {jump}, start {start}"


def _updates(links: tuple[Link, ...], before: ReceptiveField, told: ReceptiveField) -> Iterator[Working]:
    """What each kind of link does to the numbers; of a step of 0, whose cells see everything, there are none."""
    facts = list(zip(links, before.size, before.jump, before.start, strict=True))
    for names, place in alike(LETTERS[len(links)], facts):
        link, size, jump, start = facts[place]
        values = {"size": size, "jump": jump, "start": start}
        if isinstance(link, Scatter) and jump:
            yield working(f"jump ({names})", "jump / stride", told.jump[place], stride=link.axis.stride, **values)
        if isinstance(link, Window) and jump:
            axis = link.axis
            values |= {"span": axis.span, "before": axis.before, "stride": axis.stride}
            yield working(f"size ({names})", SIZE, told.size[place], **values)
            yield working(f"jump ({names})", "jump * stride", told.jump[place], **values)
            yield working(f"start ({names})", START, told.start[place], **values)


def gridding(graph: Graph, number: int) -> Iterator[Section]:
    """Which cells a middle cell of a dilated layer really reads, through all that lies before it."""
    axes = graph.steps[number].layer.axes
    path = [axis for one in graph.path(number) for axis in graph.steps[one].layer.axes]
    if not any(axis.dilation > 1 and axis.kernel > 1 for axis in axes) or any(axis.kernel > MOST_TAPS for axis in path):
        return
    try:
        seen = cell_record(graph, number)
    except SpecError:  # no field that anybody could follow: nothing to say about it
        return
    yield Section("gridding", tuple(_told(seen)))


def _told(seen: CellRecord) -> Iterator[str]:
    share = f": {seen.untouched:.1%} of the box around them is never read" if seen.holes else ", without holes"
    yield f"the cell {list(seen.at)} of the output reads {seen.cells} cells of the input{share}"
    for letters, place in alike(LETTERS[len(seen.axes)], [_same(axis) for axis in seen.axes]):
        yield from _axis(letters, seen.axes[place])


def _same(axis: AxisField) -> tuple[object, ...]:
    return axis.touched, axis.causes, str(axis.cure)


def _axis(letters: str, axis: AxisField) -> Iterator[str]:
    runs = [
        f"{first} to {first + (count - 1) * by} by {by}" if count > 1 else f"{first}"
        for first, count, by in axis.touched
    ]
    yield f"{letters}: reads {axis.cells} cells ({', '.join(runs)}), {axis.holes} between them are holes"
    if axis.causes:
        yield f"{letters}: holes made by {', '.join(f'{cause.layer} ({cause.reason})' for cause in axis.causes)}"
    if axis.cure:
        rates = ", ".join(f"{name} (dilation {rate})" for name, rate in axis.cure.dilation.items())
        yield f"{letters}: no holes with {rates}: a field of {axis.cure.size}, padding to match"
