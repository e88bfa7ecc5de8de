"""A convolution as the matrix C of y = Cx, one input channel and one output channel; the transposed layer is C^T."""

from __future__ import annotations

from itertools import product
from math import prod
from typing import TYPE_CHECKING

import msgspec

from convcli.explaining.subject import Grid, Section
from convcli.explaining.working import working
from convcli.layers import ConvTranspose
from convcli.reach import Window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.axis import Axis
    from convcli.explaining.subject import Subject
    from convcli.explaining.working import Working
    from convcli.layers import Shape

MOST_COLUMNS, MOST_ENTRIES, MOST_TAPS = 25, 400, 100  # of a matrix that is drawn, and of its kernel
MOST_TERMS = 20  # entries of C whose sums are written out
Taps = tuple[int, ...]
Rows = list[dict[int, list[Taps]]]  # of C: the taps in each column that is not 0


class Unrolled(msgspec.Struct, frozen=True):
    """A convolution from `cells` to `positions`, per axis; mode: what its padding holds."""

    axes: tuple[Axis, ...]
    cells: Shape
    positions: Shape
    mode: str = "zeros"

    @property
    def fits(self) -> bool:
        """Whether its matrix can be drawn, and has a column."""
        rows, columns = prod(self.positions), prod(self.cells)
        few = prod(axis.kernel for axis in self.axes) <= MOST_TAPS
        return few and 0 < columns <= MOST_COLUMNS and 0 < rows * columns <= MOST_ENTRIES

    @property
    def weights(self) -> dict[str, int]:
        """w00 = 1, w01 = 2, ...: a number for every tap of the kernel."""
        taps = cells(tuple([axis.kernel for axis in self.axes]))
        return {f"w{_index(tap)}": number for number, tap in enumerate(taps, 1)}

    @property
    def rows(self) -> Rows:
        """For every output cell the taps by the input cell that they meet, both counted row by row."""
        met = [self._axis(place) for place in range(len(self.axes))]
        return [self._row([axis[p] for axis, p in zip(met, cell, strict=True)]) for cell in cells(self.positions)]

    def _axis(self, place: int) -> list[list[tuple[int, int]]]:
        """For every output position along one axis (tap, input cell) of the taps that meet one."""
        axis, size = self.axes[place], self.cells[place]
        window, found = Window(axis, self.mode), []
        for position in range(self.positions[place]):
            first, distance, count = window.run(position)
            places = [window.cell(first + tap * distance, size) for tap in range(count)]
            found.append([(tap, cell) for tap, cell in enumerate(places) if cell is not None])
        return found

    def _row(self, met: list[list[tuple[int, int]]]) -> dict[int, list[Taps]]:
        row: dict[int, list[Taps]] = {}
        for pairs in product(*met):
            column = 0
            for (_, cell), size in zip(pairs, self.cells, strict=True):
                column = column * size + cell
            row.setdefault(column, []).append(tuple([tap for tap, _ in pairs]))
        return row


def cells(sizes: Shape) -> Iterator[Shape]:
    """All cells of a grid, row by row."""
    return product(*map(range, sizes))


def matrix(subject: Subject) -> Iterator[Section]:
    """C drawn, and with numbers for x and w: y = Cx and C^T y. Of a large layer a smaller one of the same form."""
    own = _own(subject)
    if all(axis.kernel == 1 for axis in own.axes):  # nothing but the weight, now and then; or no axis
        return
    shown = next((one for one in (own, *_smaller(subject)) if one.fits), None)
    if shown is None:
        return
    transposed = isinstance(subject.layer, ConvTranspose)
    rows, columns = prod(shown.positions), prod(shown.cells)
    said = TRANSPOSED if transposed else CONVOLUTION if shown.mode == "zeros" else REPEATING
    words = [said.format(rows=rows, columns=columns)]
    if shown is not own:
        size = f"{prod(own.positions)} x {prod(own.cells)}"
        here = "x".join(map(str, shown.positions if transposed else shown.cells))
        along = "" if len(shown.axes) == len(own.axes) else f" along {subject.letters[0]} alone"
        words.append(
            f"this layer's own C is {size}; here the same kernel, stride, dilation, padding on {here} cells{along}"
        )
    names = [[*map(_index, cells(sizes))] for sizes in (shown.cells, shown.positions)]
    unrolled, weights = shown.rows, shown.weights
    drawn = Grid("C", ("", *[f"x{name}" for name in names[0]]), tuple(_drawn(unrolled, names)), drawn=True)
    sums = [] if transposed else list(_forward(unrolled, names, weights))
    steps = [*sums, *_back(unrolled, names, weights)]
    told = "y" if transposed else "x, then y,"
    words.append(f"with numbers: the weights are 1 to {len(weights)} in order, the cells of {told} 1, 2, 3, ...")
    if sum(len(taps) for row in unrolled for taps in row.values()) > MOST_TERMS:
        products = {"Cx": sums, "C^T y": steps[len(sums) :]}
        words += [f"{name} = {', '.join(one.told for one in found)}" for name, found in products.items() if found]
        steps = []
    yield Section("the layer as a matrix", tuple(words), tuple(steps), (drawn,))


UNROLLED = "y = Cx, C is {rows} x {columns}: a row per output cell, a column per input cell"
CONVOLUTION = UNROLLED + "; C^T y is the transposed layer"
REPEATING = UNROLLED + "; cells that the padding repeats have several weights"
TRANSPOSED = "C is {rows} x {columns}: the convolution y = Cx that this layer turns round; y goes in, C^T y comes out"


def _own(subject: Subject) -> Unrolled:
    inside, outside = subject.space, subject.y[1:]
    if isinstance(subject.layer, ConvTranspose):
        return Unrolled(subject.layer.axes, outside, inside)
    return Unrolled(subject.layer.axes, inside, outside, getattr(subject.layer, "padding_mode", "zeros"))


def _smaller(subject: Subject) -> Iterator[Unrolled]:
    """The same axes on as few cells as show every tap, then the first of them alone."""
    own = _own(subject)
    small = _transposed_sizes if isinstance(subject.layer, ConvTranspose) else _sizes
    for axes in (own.axes, own.axes[:1]):
        sizes = [small(axis, own.mode) for axis in axes]
        yield Unrolled(axes, tuple([cell for cell, _ in sizes]), tuple([position for _, position in sizes]), own.mode)


def _sizes(axis: Axis, mode: str) -> tuple[int, int]:
    """(input cells, outputs): at least two outputs, and room for the kernel."""
    size = max(axis.span, axis.span + axis.stride - axis.before - axis.after)
    if mode != "zeros":
        size = max(size, axis.before + 1, axis.after + 1)
    return size, axis.out(size)


def _transposed_sizes(axis: Axis, mode: str) -> tuple[int, int]:
    """(outputs, input cells): two inputs, or as many as leave an output."""
    del mode
    cropped = 1 + axis.before + axis.after - axis.span - axis.output_padding
    size = max(2, 1 + -(-cropped // axis.stride))
    return axis.transposed_out(size), size


def _index(cell: Shape) -> str:
    """00, 12; (0,11) where an index has two digits."""
    return "".join(map(str, cell)) if max(cell, default=0) < 10 else f"_{'_'.join(map(str, cell))}"


def _drawn(rows: Rows, names: list[list[str]]) -> Iterator[tuple[str, ...]]:
    columns, positions = names
    for name, row in zip(positions, rows, strict=True):
        entries = ["+".join(f"w{_index(tap)}" for tap in row.get(column, [])) or "." for column in range(len(columns))]
        yield f"y{name}", *entries


def _forward(rows: Rows, names: list[list[str]], weights: dict[str, int]) -> Iterator[Working]:
    """y = Cx with x = 1, 2, 3, ... and w = 1, 2, 3, ..."""
    for name, row in zip(names[1], rows, strict=True):
        terms = [(f"w{_index(tap)}", f"x{names[0][column]}") for column in sorted(row) for tap in row[column]]
        values = weights | {f"x{name}": number for number, name in enumerate(names[0], 1)}
        yield _sum(f"y{name}", terms, values)


def _back(rows: Rows, names: list[list[str]], weights: dict[str, int]) -> Iterator[Working]:
    """C^T y with y = 1, 2, 3, ..."""
    values = weights | {f"y{name}": number for number, name in enumerate(names[1], 1)}
    for column, cell in enumerate(names[0]):
        terms = [
            (f"w{_index(tap)}", f"y{position}")
            for position, row in zip(names[1], rows, strict=True)
            for tap in row.get(column, [])
        ]
        yield _sum(f"(C^T y){cell}", terms, values)


def _sum(of: str, terms: list[tuple[str, str]], values: dict[str, int]) -> Working:
    formula = " + ".join(f"{weight} * {cell}" for weight, cell in terms) or "0"
    result = sum(values[weight] * values[cell] for weight, cell in terms)
    return working(of, formula, result, **values)
