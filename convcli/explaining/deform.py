"""Deformable layers: which offset channel moves which tap, where a tap samples, and what sampling costs."""

from __future__ import annotations

from math import floor, prod
from typing import TYPE_CHECKING

from convcli.explaining.counts import channel_values
from convcli.explaining.subject import Grid, Section
from convcli.explaining.working import times, working
from convcli.layers.deform import COORDINATE_FLOPS
from convcli.reach import Window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.explaining.subject import Subject
    from convcli.explaining.working import Number, Working
    from convcli.layers import DeformConv, DeformConvPack

MOST_POINTS = 27  # sampling points of the offset whose channels are listed
DY, DX = 0.25, -0.5  # the offset of the example


def layout(subject: Subject) -> Section:
    """The offset and the mask, channel by channel."""
    layer: DeformConv = subject.layer  # type: ignore[assignment]
    rows, columns = (axis.kernel for axis in layer.axes)
    taps, sides = rows * columns, layer.side_inputs(subject.x)
    each = subject.x[0] // layer.offset_groups
    values = {"offset_groups": layer.offset_groups, "kernel_H": rows, "kernel_W": columns}
    steps = [working("offset_channels", "2 * offset_groups * kernel_H * kernel_W", sides["offset"][0], **values)]
    words = [
        "channel of an offset: group * 2 * taps + 2 * (row * kernel_W + col), that of dy; the next one is dx",
        f"offset group of input channel c: floor(c / {each})",
    ]
    if layer.modulated:
        steps.append(working("mask_channels", "offset_groups * kernel_H * kernel_W", sides["mask"][0], **values))
        words.append("channel of a mask: group * taps + row * kernel_W + col; it is used as it is given")
    points = list(_points(layer.offset_groups, rows, columns, modulated=layer.modulated))
    more = (
        f" (the first {MOST_POINTS} of {layer.offset_groups * taps} points)"
        if len(points) < layer.offset_groups * taps
        else ""
    )
    heads = ("group", "row", "col", "dy", "dx", *(["mask"] if layer.modulated else []))
    return Section(
        "offsets", tuple(words), tuple(steps), (Grid(f"channels by sampling point{more}", heads, tuple(points)),)
    )


def _points(groups: int, rows: int, columns: int, *, modulated: bool) -> Iterator[tuple[int, ...]]:
    """(group, row, col, the channel of dy, that of dx, and that of the mask) of the first points."""
    for point in range(min(groups * rows * columns, MOST_POINTS)):
        group, tap = divmod(point, rows * columns)
        row, column = divmod(tap, columns)
        yield group, row, column, 2 * point, 2 * point + 1, *([point] if modulated else [])


def sampling(subject: Subject) -> Section:
    """One sample with numbers: where it lies, the four cells around it and their shares."""
    axes, out = subject.layer.axes, subject.y[1:]
    cell = subject.cell or tuple([size // 2 for size in out])
    tap = tuple([axis.kernel - 1 for axis in axes])
    steps, places = [], []
    for name, letter, axis, index, t, moved in zip("yx", "HW", axes, cell, tap, (DY, DX), strict=True):
        first, distance, _ = Window(axis).run(index)
        place = first + t * distance + moved
        places.append(place)
        values: dict[str, Number] = {"out": index, "stride": axis.stride, "before": axis.before, "tap": t}
        values |= {"dilation": axis.dilation, "offset": moved}
        steps.append(working(f"{name} ({letter})", "out * stride - before + tap * dilation + offset", place, **values))
    rows, steps_of = [], _shares(places)
    for (down, right), share in zip(CORNERS, steps_of, strict=True):
        corner = (floor(places[0]) + down, floor(places[1]) + right)
        inside = all(0 <= at < size for at, size in zip(corner, subject.space, strict=True))
        rows.append((f"x[{corner[0]}, {corner[1]}]", f"{share.result:g}", "" if inside else "outside: counts as 0"))
    words = (
        f"output cell {list(cell)}, tap {list(tap)}, an offset of dy = {DY}, dx = {DX}: it reads between four cells",
        "outside of -1 < y < H, -1 < x < W a sample is 0; between, cells that are missing count as 0",
    )
    heads = ("cell", "share", "which is") if any(row[2] for row in rows) else ("cell", "share")
    grid = Grid("the four cells and their shares", heads, tuple(row[: len(heads)] for row in rows))
    return Section("sampling", words, (*steps, *steps_of), (grid,))


CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))


def _shares(places: list[float]) -> list[Working]:
    """The bilinear share of each corner: the product of two distances."""
    y, x = places
    found = []
    for down, right in CORNERS:
        rows = "(y - y0)" if down else "(y0 + 1 - y)"
        columns = "(x - x0)" if right else "(x0 + 1 - x)"
        share = abs(1 - down - (y - floor(y))) * abs(1 - right - (x - floor(x)))
        corner = f"share[y0{' + 1' * down}, x0{' + 1' * right}]"
        found.append(working(corner, f"{rows} * {columns}", share, y=y, x=x, y0=floor(y), x0=floor(x)))
    return found


def predicted(subject: Subject) -> Section:
    """What the convolution inside a pack predicts, and how its channels are shared out."""
    layer: DeformConvPack = subject.layer  # type: ignore[assignment]
    predictor, deform = (part.layer for part in layer.parts(subject.x))
    rows, columns = (axis.kernel for axis in predictor.axes)
    each = 3 if layer.modulated else 2
    values = {"each": each, "offset_groups": layer.offset_groups, "kernel_H": rows, "kernel_W": columns}
    channels = predictor.output(subject.x)[0]
    words = [f"offset_conv has the windows of the layer, and {each} channels for each offset group and tap"]
    if layer.modulated:
        offsets = deform.side_inputs(subject.x)["offset"][0]
        words.append(
            f"its channels 0 to {offsets - 1} are the offset, {offsets} to {channels - 1}, through a sigmoid, the mask"
        )
        words.append("its weights begin at 0: offsets of 0, masks of 1/2")
    else:
        words.append("its weights begin at 0: offsets of 0, an ordinary convolution")
    step = working("channels of offset_conv", "each * offset_groups * kernel_H * kernel_W", channels, **values)
    return Section("predicted offsets", tuple(words), (step,))


def interpolation(subject: Subject) -> Section:
    """What sampling costs beside the products."""
    layer: DeformConv = subject.layer  # type: ignore[assignment]
    counts = layer.counts(subject.x, subject.images)
    letters, values = subject.letters, channel_values(subject)
    points = f"batch * {times('kernel', letters)} * {times('out', letters)}"
    positions = subject.images * prod(axis.kernel for axis in layer.axes) * prod(subject.y[1:])
    values |= {"offset_groups": layer.offset_groups, "samples": positions * subject.x[0], "each": COORDINATE_FLOPS}
    steps = [
        working("samples", f"{points} * in_channels", positions * subject.x[0], **values),
        working("interpolation_macs", "4 * samples", counts.interpolation_macs or 0, **values),
    ]
    if layer.modulated:
        steps.append(working("modulation_macs", "samples", counts.modulation_macs or 0, **values))
    coordinates = f"each * {points} * offset_groups"
    steps.append(working("coordinate_flops", coordinates, counts.coordinate_flops or 0, **values))
    words = (
        "beside macs, which are the convolution's: four cells with their shares per sample"
        + (", a product with the mask" if layer.modulated else ""),
        "coordinates, once per offset group: two sums, two floors, four shares, two tests",
    )
    return Section("sampling costs", words, tuple(steps))
