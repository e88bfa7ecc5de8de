"""Deformable RoI pooling: the box and its bins over the input, where the offsets move a bin, and the samples in it.

Boxes, bins and samples are worked out by the kernel itself (`kernels/roi_call.py`); whole numbers are cells' centres.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import floor
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec

from convcli.errors import SpecError
from convcli.layers.roi_pool import DeformRoIPool, OnRoIs
from convcli.pictures import words
from convcli.pictures.board import Board, Map
from convcli.pictures.compose import filmed
from convcli.pictures.grid import part, told_part
from convcli.pictures.offsets import arrays
from convcli.pictures.scene import Film, Mark, Scene
from convcli.pictures.views import MOST

if TYPE_CHECKING:
    from convcli.kernels.roi_call import RoICall
    from convcli.layers import Shape
    from convcli.pictures.asked import Asked
    from convcli.plan import Step

LARGEST_BOX = 20  # cells of a box that is drawn unasked
MOST_SAMPLES = 400  # of a bin that are drawn


def drawn(step: Step, asked: Asked) -> Scene | Film:
    """The samples of one bin, `asked.cell` (the middle one), or of all bins, one after the other."""
    if not isinstance(step.layer, OnRoIs):
        raise SpecError(
            f"{step.name} ({step.type}) pools no regions", field="--picture", allowed="an RoI pooling layer"
        )
    layer, bins = step.layer, step.layer.output_size
    call, source = _call(layer, step.x, asked)
    cell = asked.cell_of(bins, middle=True)
    cells = list(product(*map(range, bins)))[: asked.most] if asked.animate else [cell]
    drawing = _Drawing(call, step.x[2:])
    film = filmed(
        words.title(step),
        list(drawing.marks()),
        [list(drawing.step(one)) for one in cells],
        description=f"A region of the input of {words.title(step)} and its bins. {drawing.said(cells[0])}.",
        captions=[*words.captions(step), f"{bins[0]} x {bins[1]} bins, gamma {layer.gamma:g}, {source}"],
        legend=_LEGEND,
        notes=list(drawing.notes(layer.rois)),
    )
    return film if asked.animate else film.still()


_LEGEND = [
    ("input", "input"),
    ("box", "region"),
    ("bin", "bin"),
    ("moved", "the bin, moved by its offset"),
    ("point", "sample"),
    ("point-outside", "sample outside: 0"),
    ("read", "cell that is read"),
    ("written", "the output cell"),
]


def _call(layer: OnRoIs, x: Shape, asked: Asked) -> tuple[RoICall, str]:
    """(the kernel's call for one region, where its numbers are from)"""
    import numpy as np

    from convcli.kernels.roi_call import roi_call

    inner = layer if isinstance(layer, DeformRoIPool) else layer.parts(x)[-1].layer
    found: dict[str, Any]
    needed = inner.side_inputs(x)
    if asked.offsets.lower().endswith(".npz"):
        given = arrays(asked.offsets, needed)
        found = {name: given[name][:1].astype(np.float64) for name in given}
        source = f"region 0 of {asked.offsets.rpartition('/')[2]}"
    else:
        found, source = _made(needed, x[2:], layer.spatial_scale, asked)
    found["rois"][:, 0] = 0  # whichever image it lies on, it is drawn
    call = roi_call(
        np.zeros((1, 0, *x[2:])),  # its cells are not looked at
        found["rois"],
        found.get("offset"),
        found.get("mask"),
        output_size=layer.output_size,
        spatial_scale=layer.spatial_scale,
        sampling_ratio=layer.sampling_ratio,
        gamma=layer.gamma,
    )
    return call, source


def _made(needed: dict[str, Shape], space: Shape, scale: float, asked: Asked) -> tuple[dict[str, Any], str]:
    """A region in the middle of the map and offsets of 0, or both at random."""
    import numpy as np

    if asked.offsets not in {"zero", "random"}:
        raise SpecError(f"--offsets {asked.offsets} is not known", allowed="zero, random, or a file.npz")
    random = asked.offsets == "random"
    dice = Random(asked.seed)  # noqa: S311 - a picture
    ends = []
    for size in space:
        length = min(size, LARGEST_BOX) * (dice.uniform(0.5, 0.8) if random else 0.6)
        start = (size - length) * (dice.uniform(0.2, 0.8) if random else 0.5)
        ends.append((start / scale, (start + length) / scale))
    (top, bottom), (left, right) = ends
    found: dict[str, Any] = {"rois": np.array([[0.0, left, top, right, bottom]])}
    for name in needed.keys() - {"rois"}:
        shape = (1, *needed[name][1:])
        count = int(np.prod(shape))
        values = [
            (dice.gauss(0, 1) if name == "offset" else dice.random()) if random else float(name == "mask")
            for _ in range(count)
        ]
        found[name] = np.array(values).reshape(shape)
    return found, f"a random region and offsets, seed {asked.seed}" if random else "offsets of 0"


class _Drawing:
    """The panels, and what each step marks on them."""

    def __init__(self, call: RoICall, space: Shape) -> None:
        import numpy as np

        self.call, self.space = call, space
        self.still = msgspec.structs.replace(call, offset=None)
        self.start = [float(value) for value in call.start[0]]
        self.size = [float(value) for value in call.size[0]]
        first = np.zeros(1, np.intp)
        self.places = [call.coordinates(axis, first)[0] for axis in range(2)]
        self.regular = [self.still.coordinates(axis, first)[0] for axis in range(2)]
        ranges = []
        for start, size, cells in zip(self.start, self.size, space, strict=True):
            low, high = sorted((start, start + size))
            low, high = max(min(low, cells - 1), 0), max(min(high, cells - 1), 0)
            ranges.append(part(range(cells), range(floor(low), floor(high) + 2), MOST[2]))
        self.ranges = tuple(ranges)
        output = Map("output", tuple(map(range, call.bins)), lambda _: "output")
        self.board = Board([[Map("input", self.ranges, lambda _: "input")], [output]])

    def marks(self) -> Iterator[Mark]:
        """The maps, the region and its bins."""
        yield from self.board.marks()
        if self._is_seen():
            for cell in product(*map(range, self.call.bins)):
                yield self._bin(cell, self.regular, "bin")
            yield self.board.area("input", self._ends(self.start, self.size), "box")

    def step(self, cell: Shape) -> Iterator[Mark]:
        """The samples of a bin, the cells that they read, and the bin where the offsets moved it."""
        places = list(self._samples(cell))
        for cell_read in sorted({one for sample in places for one in self._read(sample)}):
            if self._is_drawn(cell_read):
                yield self.board.cell("input", cell_read, "read")
        if self._is_seen():
            yield self._bin(cell, self.regular, "bin")
            yield self.board.line("input", self._middle(cell, self.regular), self._middle(cell, self.places), "shift")
            yield self._bin(cell, self.places, "moved")
        mask = 1.0 if self.call.mask is None else float(self.call.mask[0, 0][cell])
        shown = min(max(mask, 0.0), 1.0)
        for place in places:
            if self._is_drawn(place):
                role = "point" if list(self._read(place)) else "point-outside"
                radius = min(self.board.unit * 0.14, 5.0) * (0.5 + 0.5 * shown)
                yield self.board.point("input", place, role, radius, 0.25 + 0.75 * shown, {"mask": round(mask, 4)})
        yield self.board.cell("output", cell, "written")
        yield self.board.said(self.said(cell))

    def said(self, cell: Shape) -> str:
        """What a bin is the mean of."""
        return f"output{words.place(cell)} is the mean of {self._count()} samples"

    def notes(self, regions: int) -> Iterator[str]:
        """What is not drawn, and what an offset means."""
        yield from told_part("input", self.ranges, [range(size) for size in self.space])
        if regions > 1:
            yield f"1 of {regions} regions is drawn"
        if self._count() > MOST_SAMPLES:
            yield f"so many samples are not drawn: {MOST_SAMPLES} are the most"
        yield "an offset moves a bin by gamma x the region's size x the offset"

    def _samples(self, cell: Shape) -> Iterator[tuple[float, float]]:
        rows, columns = (there[cell] for there in self.places)
        if self._count() <= MOST_SAMPLES:
            yield from ((float(row), float(column)) for row in rows for column in columns)

    def _count(self) -> int:
        return int(self.places[0].shape[-1] * self.places[1].shape[-1])

    def _read(self, place: tuple[float, float]) -> Iterator[tuple[int, int]]:
        """The cells whose share in a sample is not 0."""
        import numpy as np

        from convcli.kernels.roi_call import reads

        both = [reads(np.array([one]), size) for one, size in zip(place, self.space, strict=True)]
        cells = [{int(cell) for cell, share in zip(one.cells, one.shares, strict=True) if share} for one in both]
        yield from product(*cells)

    @staticmethod
    def _middle(cell: Shape, places: list[Any]) -> list[float]:
        """The middle of a bin is that of its samples."""
        return [float(there[cell].mean()) for there in places]

    def _bin(self, cell: Shape, places: list[Any], role: str) -> Mark:
        steps = [size / bins for size, bins in zip(self.size, self.call.bins, strict=True)]
        corner = [middle - step / 2 for middle, step in zip(self._middle(cell, places), steps, strict=True)]
        return self.board.area("input", self._ends(corner, steps), role, bin=",".join(map(str, cell)))

    def _ends(self, start: list[float], size: list[float]) -> tuple[float, float, float, float]:
        """(top, left, bottom, right), no further out than what is drawn."""
        ends = []
        for one, long, cells in zip(start, size, self.ranges, strict=True):
            low, high = sorted((one, one + long))
            ends.append([min(max(value, cells.start - 1.5), cells.stop + 0.5) for value in (low, high)])
        (top, bottom), (left, right) = ends
        return top, left, bottom, right

    def _is_seen(self) -> bool:
        """Whether there are samples, and numbers: offsets may be anything."""
        import numpy as np

        return self._count() > 0 and all(bool(np.isfinite(there).all()) for there in self.places)

    def _is_drawn(self, place: tuple[float, float]) -> bool:
        return all(cells.start - 1 <= one <= cells.stop for cells, one in zip(self.ranges, place, strict=True))
