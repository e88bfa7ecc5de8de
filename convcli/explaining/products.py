"""How many products a convolution has: all of them, and those whose input cell exists, counted axis by axis."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from convcli.explaining.counts import channel_values, share
from convcli.explaining.subject import Grid, Section
from convcli.explaining.working import alike, each, product, times, working
from convcli.layers import DeformConv

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.axis import Axis
    from convcli.explaining.subject import Subject
    from convcli.explaining.working import Number, Working
    from convcli.layers import Shape

MOST_TAPS = 16  # of an axis whose taps are told one by one


def products(subject: Subject) -> Section:
    """Dense, then without the products whose input cell is a zero of the padding."""
    letters, counts = subject.letters, subject.layer.counts(subject.x, subject.images)
    outputs = product("batch", "out_channels", times("out", letters))
    values = channel_values(subject)
    channels = share(subject, "in_channels")
    dense = working("macs", product(outputs, channels, times("kernel", letters)), counts.macs, **values)
    words = ["every output is a sum over its input channels and taps; products with padding zeros are counted"]
    if not padded(subject) or getattr(subject.layer, "padding_mode", "zeros") != "zeros":
        words.append("no product meets a zero of the padding: macs_nonpad = macs")
        return Section("MACs", tuple(words), (dense,))
    words.append("macs_nonpad leaves out products with padding zeros: pairs of an output and a tap whose cell exists")
    if isinstance(subject.layer, DeformConv):
        words.append("here at offsets of 0: what is sampled elsewhere is not known before the offsets are")
    pairs = pairs_of(subject, subject.space, subject.y[1:], "meets the cell")
    formula = f"batch * out_channels * {channels} * {times('pairs', letters)}"
    nonpad = working("macs_nonpad", formula, counts.macs_nonpad, **values, **pairs.values)
    return Section("MACs", (*words, *pairs.words), (dense, *pairs.steps, nonpad), tuple(pairs.grids))


def padded(subject: Subject) -> bool:
    """Whether there is any padding."""
    return any(axis.before or axis.after for axis in subject.layer.axes)


class Pairs(NamedTuple):
    """Per axis the pairs of a position and a tap whose cell exists: sums over few taps, tables of them, or words."""

    steps: list[Working]
    grids: list[Grid]
    words: list[str]
    values: dict[str, Number]


def pairs_of(subject: Subject, cells: Shape, positions: Shape, meets: str) -> Pairs:
    """The pairs of every axis; meets: the title of what a tap does to a cell."""
    axes = subject.layer.axes
    counts = [axis.pairs(size, count) for axis, size, count in zip(axes, cells, positions, strict=True)]
    found = Pairs([], [], [], each("pairs", subject.letters, counts))
    for letters, place in alike(subject.letters, list(zip(axes, cells, positions, strict=True))):
        axis, size, count = axes[place], cells[place], positions[place]
        if axis.kernel > MOST_TAPS:
            found.words.append(f"pairs ({letters}) = {counts[place]}: counted in closed form, as points below a line")
            continue
        taps = [one_tap(axis, tap).pairs(size, count) for tap in range(axis.kernel)]
        told: dict[str, Number] = {f"tap{number}": of for number, of in enumerate(taps)}
        found.steps.append(working(f"pairs ({letters})", " + ".join(told), counts[place], **told))
        title = f"positions p along {letters} for which a tap's cell exists"
        found.grids.append(Grid(title, ("tap", meets, "for so many p"), tuple(_rows(axis, taps))))
    return found


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
