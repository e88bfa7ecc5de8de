"""RoI pooling: where the bins of a region lie, where they are sampled, what an offset does, and what it costs."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from convcli.explaining.subject import Grid, Section
from convcli.explaining.working import working
from convcli.layers.deform import COORDINATE_FLOPS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.explaining.subject import Subject
    from convcli.explaining.working import Working
    from convcli.layers import DeformRoIPool

OFFSET = 0.5  # of the example
EQUATION = "y[r, c, p, q] = {mask}mean over the samples j < {down}, l < {across} of bin (p, q) of x[image, c]"


def equation(layer: DeformRoIPool, subject: Subject) -> str:
    """The mean over a bin's samples; down and across: how many, for a region as large as x."""
    down, across = layer.grid(subject.x)
    return EQUATION.format(mask="mask[r, p, q] * " if layer.modulated else "", down=down, across=across)


def sections(layer: DeformRoIPool, subject: Subject) -> Iterator[Section]:
    """The bins of a region as large as x, the side inputs, the costs."""
    images, channels, *sizes = subject.x
    del images
    steps = [
        step
        for axis in (0, 1)
        for step in _bins("HW"[axis], layer, sizes[axis], layer.output_size[axis], layer.grid(subject.x)[axis])
    ]
    words = (
        "a region is (image, x1, y1, x2, y2) in coordinates of the picture: times spatial_scale, cells of x",
        f"spatial_scale = {layer.spatial_scale:g}; here a region as large as x, and the first sample of its first bin",
        "a sample is bilinear between cells, an edge goes on for one cell, further out it is 0",
    )
    yield Section(
        "output size",
        (f"regions {subject.y[0]}, channels {channels}, bins {layer.output_size[0]} x {layer.output_size[1]}",),
    )
    yield Section("bins", words, tuple(steps))
    if layer.offset:
        yield _offsets(layer, subject)


def _bins(letter: str, layer: DeformRoIPool, size: int, bins: int, grid: int) -> Iterator[Working]:
    """The extent of a bin, and its samples, along one axis."""
    values = {"extent": size, "bins": bins, "bin": size / bins, "samples": grid}
    yield working(f"bin ({letter})", "extent / bins", size / bins, **values)
    rule = "sampling_ratio" if layer.sampling_ratio else "ceil(extent / bins)"
    yield working(f"samples ({letter})", rule, grid, sampling_ratio=grid, **values)
    first = -0.5 + 0.5 * (size / bins) / grid
    yield working(f"first sample ({letter})", "0 - 0.5 + (0 + 0.5) * bin / samples", first, **values)


def _offsets(layer: DeformRoIPool, subject: Subject) -> Section:
    """Channel 0 to the right, channel 1 down; how far an offset moves a bin."""
    steps = [
        working(f"moved ({letter})", "gamma * extent * offset", layer.gamma * size * OFFSET, **values)
        for letter, size in zip("HW", subject.x[2:], strict=True)
        for values in [{"gamma": layer.gamma, "extent": size, "offset": OFFSET}]
    ]
    words = [f"an offset is a share of the region's extent, times gamma; {OFFSET} moves the samples of its bin by"]
    if layer.modulated:
        words.append("the mask (regions, 1, rows, columns) multiplies the means")
    grid = Grid("channels of the offset", ("channel", "moves along"), ((0, "x, to the right"), (1, "y, down")))
    return Section("offsets", tuple(words), tuple(steps), (grid,))


def costs(layer: DeformRoIPool, subject: Subject) -> Section:
    """No weight, so no macs; what sampling costs."""
    counts = layer.counts(subject.x, subject.images)
    down, across = layer.grid(subject.x)
    bins = layer.rois * prod(layer.output_size)
    values = {"regions": layer.rois, "rows": layer.output_size[0], "columns": layer.output_size[1]}
    values |= {"down": down, "across": across, "channels": subject.x[1], "each": COORDINATE_FLOPS}
    points = "regions * rows * columns * down * across"
    steps = [
        working("samples", points, bins * down * across, **values),
        working("interpolation_macs", f"4 * {points} * channels", counts.interpolation_macs or 0, **values),
        working("coordinate_flops", f"each * {points}", counts.coordinate_flops or 0, **values),
        working("elementwise_flops", "regions * rows * columns * channels", counts.elementwise_flops or 0, **values),
    ]
    if layer.modulated:
        formula = "regions * rows * columns * channels"
        steps.append(working("modulation_macs", formula, counts.modulation_macs or 0, **values))
    words = ("macs are 0: there is no weight; a sample is four cells with their shares, a mean one division",)
    return Section("sampling costs", words, tuple(steps))
