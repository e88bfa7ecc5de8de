"""How many products a convolution has: all of them, and those whose input cell exists, counted axis by axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from convcli.explaining.counts import channel_values, share
from convcli.explaining.subject import Grid, Section
from convcli.explaining.working import alike, times, working

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.axis import Axis
    from convcli.explaining.subject import Subject
    from convcli.explaining.working import Number, Working

MOST_TAPS = 16  # of an axis whose taps are told one by one


def products(subject: Subject) -> Section:
    """Dense, then without the products whose input cell is a zero of the padding."""
    letters, counts = subject.letters, subject.layer.counts(subject.x, subject.images)
    outputs = f"batch * out_channels * {times('out', letters)}"
    values = channel_values(subject)
    channels = share(subject, "in_channels")
    dense = working("macs", f"{outputs} * {channels} * {times('kernel', letters)}", counts.macs, **values)
    words = ["every output is a sum over its input channels and taps; products with padding zeros are counted"]
    if not padded(subject) or getattr(subject.layer, "padding_mode", "zeros") != "zeros":
        words.append("no product meets a zero of the padding: macs_nonpad = macs")
        return Section("MACs", tuple(words), (dense,))
    words.append("macs_nonpad leaves out products with padding zeros: pairs of an output and a tap whose cell exists")
    steps, grids = pair_steps(subject, subject.space, subject.y[1:])
    for place, letter in enumerate(letters):
        values[f"pairs_{letter}"] = subject.layer.axes[place].pairs(subject.space[place], subject.y[1 + place])
    formula = f"batch * out_channels * {channels} * {times('pairs', letters)}"
    nonpad = working("macs_nonpad", formula, counts.macs_nonpad, **values)
    return Section("MACs", tuple(words), (dense, *steps, nonpad), grids)


def padded(subject: Subject) -> bool:
    """Whether there is any padding."""
    return any(axis.before or axis.after for axis in subject.layer.axes)


def pair_steps(
    subject: Subject, cells: tuple[int, ...], positions: tuple[int, ...], meets: str = "meets the cell"
) -> tuple[tuple[Working, ...], tuple[Grid, ...]]:
    """Of each axis the number of (position, tap) whose cell exists: tap by tap where there are few taps."""
    axes, steps, grids = subject.layer.axes, [], []
    for letters, place in alike(subject.letters, list(zip(axes, cells, positions, strict=True))):
        axis, size, count = axes[place], cells[place], positions[place]
        pairs = axis.pairs(size, count)
        if axis.kernel > MOST_TAPS:
            continue
        taps = [one_tap(axis, tap).pairs(size, count) for tap in range(axis.kernel)]
        names = [f"tap{number}" for number in range(axis.kernel)]
        told: dict[str, Number] = dict(zip(names, taps, strict=True))
        steps.append(working(f"pairs ({letters})", " + ".join(names), pairs, **told))
        title = f"positions p along {letters} for which a tap's cell exists"
        grids.append(Grid(title, ("tap", meets, "for so many p"), tuple(_rows(axis, taps))))
    return tuple(steps), tuple(grids)


def _rows(axis: Axis, taps: list[int]) -> Iterator[tuple[int | str, ...]]:
    for tap, count in enumerate(taps):
        yield tap, place_text(axis, "p", tap), count


def one_tap(axis: Axis, tap: int) -> Axis:
    """The axis of a kernel that is this tap alone."""
    return msgspec.structs.replace(axis, kernel=1, before=axis.before - axis.dilation * tap)


def place_text(axis: Axis, position: str, tap: int) -> str:
    """2*p - 3: the cell that a tap meets at position p."""
    moved = tap * axis.dilation - axis.before
    start = position if axis.stride == 1 else f"{axis.stride}*{position}"
    return start if not moved else f"{start} {'+' if moved > 0 else '-'} {abs(moved)}"
