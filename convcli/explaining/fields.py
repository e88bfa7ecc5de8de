"""What the layer makes of the receptive field, and the holes that dilation leaves in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET

from convcli.errors import SpecError
from convcli.explaining.subject import Section
from convcli.explaining.working import LETTERS, alike, working
from convcli.reach import Window
from convcli.receptive.record import receptive_field

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.explaining.subject import Subject
    from convcli.explaining.working import Working
    from convcli.plan import Plan, Step
    from convcli.reach import Link, Reach
    from convcli.receptive.record import AxisField, CellRecord
    from convcli.records import ReceptiveField

SIZE = "size + (span - 1) * jump"
MOST_TAPS = 1000  # of kernels whose cells are followed one by one
START = "start + ((span - 1) / 2 - before) * jump"


def field(subject: Subject) -> Iterator[Section]:
    """Size, jump and start of the output's field from those of the input's, in cells of the network's input."""
    told, links = subject.record.receptive_field, subject.layer.links(subject.x)
    if told is UNSET or not told.size or not links or len(links) != len(told.size):
        return
    windows = all(isinstance(link, Window) for link in links)
    if windows and subject.before and all(len(reach.ends) == 1 and reach.step for reach in subject.before):
        steps = tuple(_updates(links, subject.before, told))
        yield Section("receptive field", ("in cells of the input; before this layer:", *_before(subject.before)), steps)
    else:
        yield Section("receptive field", tuple(_results(told)))


def _before(field: tuple[Reach, ...]) -> Iterator[str]:
    letters = LETTERS[len(field)]
    for names, place in alike(letters, [(reach.size, reach.jump, reach.twice_start) for reach in field]):
        reach = field[place]
        yield f"{names}: size {reach.size}, jump {reach.jump}, start {float(reach.twice_start / 2):g}"


def _results(told: ReceptiveField) -> Iterator[str]:
    letters = LETTERS[len(told.size)]
    for names, place in alike(letters, list(zip(told.size, told.jump, told.start, strict=True))):
        yield f"{names}: size {told.size[place]}, jump {told.jump[place]:g}, start {told.start[place]:g}"


def _updates(links: tuple[Link, ...], before: tuple[Reach, ...], told: ReceptiveField) -> Iterator[Working]:
    for names, place in alike(
        LETTERS[len(links)], [(link, reach.ends, reach.step) for link, reach in zip(links, before, strict=True)]
    ):
        link, reach = links[place], before[place]
        if not isinstance(link, Window):
            continue
        axis, start = link.axis, float(reach.twice_start / 2)
        values = {"span": axis.span, "before": axis.before, "size": reach.size, "jump": int(reach.jump)}
        yield working(f"size ({names})", SIZE, told.size[place], **values)
        yield working(f"jump ({names})", "jump * stride", told.jump[place], jump=int(reach.jump), stride=axis.stride)
        yield working(f"start ({names})", START, told.start[place], start=start, **{k: values[k] for k in USED})


USED = ("span", "before", "jump")


def gridding(planned: Plan, step: Step) -> Iterator[Section]:
    """Which cells a middle cell of a dilated layer really reads, through all that lies before it."""
    dilated = any(axis.dilation > 1 and axis.kernel > 1 for axis in step.layer.axes)
    if not dilated or any(axis.kernel > MOST_TAPS for one in planned.steps for axis in one.layer.axes):
        return
    try:
        (seen,) = receptive_field(planned, layer=step.name).reports
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
        rates = ", ".join(f"{name} {rate}" for name, rate in axis.cure.dilation.items())
        yield f"{letters}: no holes with dilation {rates} (a field of {axis.cure.size}; padding to match)"
