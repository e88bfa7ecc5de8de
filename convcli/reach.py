"""What an output cell sees of the input, one axis at a time: in closed form (`Reach`), and cell by cell (`Link.back`).

A layer says for each axis which input cells an output cell reads: a `Link`. Araujo, Norris and Sim, Computing Receptive
Fields of Convolutional Neural Networks (Distill, 2019), has the closed form of windows; here it is exact for transposed
layers and for resizing too, whose output cells see fields of different sizes in turn.
"""

from __future__ import annotations

from math import gcd, lcm
from typing import TYPE_CHECKING, ClassVar

import msgspec

from convcli.axis import Axis

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from fractions import Fraction

MOST_TURNS = 4096  # different fields of neighbouring cells; a network that has more keeps its field to itself
Run = tuple[int, int, int]  # so many cells, the first and the distance between them: (first, distance, count)
Ends = tuple[int, int] | None  # the first and the last cell of a field; None where nothing is seen
Cells = int  # a set of cells as bits: cell 3 is in it when bit 3 is set


class Link(msgspec.Struct, frozen=True, cache_hash=True):
    """Which input cells each output cell of one axis reads; here each its own.

    pace: (p, q) when the cells that are read move on by q as the output moves on by p.
    """

    everything: ClassVar[bool] = False  # whether each cell reads all there is

    @property
    def pace(self) -> tuple[int, int]:
        """Cell by cell."""
        return 1, 1

    def run(self, cell: int) -> Run:
        """What `cell` reads of an input without ends; a count of 0 is nothing."""
        return cell, 1, 1

    def tap(self, cell: int, place: int) -> int | None:
        """The index of the weight with which `cell` reads what stands at `place`; None where there are no weights."""
        del cell, place
        return None

    def reads(self, cell: int, size: int) -> Sequence[int]:
        """The input cells, of `size`, that `cell` reads, each as often as it does."""
        return inside(self.run(cell), size)

    def back(self, cells: Cells, size: int) -> Cells:
        """The input cells, of `size`, that some of `cells` read."""
        found = 0
        for cell in members(cells):
            found |= progression(self.run(cell), size)
        return found


class Window(Link, frozen=True):
    """stride*p - before + dilation*t for t < kernel; off the zero mode, padding repeats cells of the input."""

    axis: Axis
    mode: str = "zeros"

    @property
    def pace(self) -> tuple[int, int]:
        """The stride."""
        return 1, self.axis.stride

    def run(self, cell: int) -> Run:
        """The kernel's taps."""
        axis = self.axis
        return cell * axis.stride - axis.before, axis.dilation, axis.kernel

    def tap(self, cell: int, place: int) -> int:
        """place = stride*cell - before + dilation*tap"""
        return (place + self.axis.before - cell * self.axis.stride) // self.axis.dilation

    def cell(self, place: int, size: int) -> int | None:
        """The input cell that stands at `place`, in the padding too; None where that is a zero."""
        if 0 <= place < size:
            return place
        return None if self.mode == "zeros" else _mirrored(place, size, self.mode)

    def reads(self, cell: int, size: int) -> Sequence[int]:
        """Where padding repeats cells, several taps can lie on one."""
        if self.mode == "zeros":
            return inside(self.run(cell), size)
        first, distance, count = self.run(cell)
        return [
            _mirrored(place, size, self.mode) if not 0 <= place < size else place
            for place in range(first, first + distance * count, distance)
        ]

    def back(self, cells: Cells, size: int) -> Cells:
        """Spread by the stride, once for each tap."""
        axis = self.axis
        spread = _spread(cells, axis.stride)
        padded = 0
        for tap in range(axis.kernel):
            padded |= spread << tap * axis.dilation
        inside = _moved(padded, -axis.before) & full(size)
        if self.mode == "zeros":
            return inside
        for place in members(padded & full(axis.before)):
            inside |= 1 << _mirrored(place - axis.before, size, self.mode)
        for place in members(padded >> (axis.before + size) & full(axis.after)):
            inside |= 1 << _mirrored(size + place, size, self.mode)
        return inside


class Scatter(Link, frozen=True):
    """(p + before - dilation*t) / stride, where it is whole: what a transposed layer's output cell receives."""

    axis: Axis

    @property
    def pace(self) -> tuple[int, int]:
        """The stride, the other way round."""
        return self.axis.stride, 1

    def run(self, cell: int) -> Run:
        """One tap of every `period`, counted from the first one whose distance is a multiple of the stride."""
        axis, place = self.axis, cell + self.axis.before
        shared = gcd(axis.stride, axis.dilation)
        period = axis.stride // shared
        if place % shared:
            return 0, 1, 0
        tap = place // shared * pow(axis.dilation // shared, -1, period) % period
        count = max(0, -(-(axis.kernel - tap) // period))
        last = tap + (count - 1) * period
        return (place - axis.dilation * last) // axis.stride, axis.dilation // shared, count

    def tap(self, cell: int, place: int) -> int:
        """cell = stride*place - before + dilation*tap"""
        return (cell + self.axis.before - place * self.axis.stride) // self.axis.dilation

    def back(self, cells: Cells, size: int) -> Cells:
        """Every stride-th cell of each tap's."""
        axis = self.axis
        placed, found = _moved(cells, axis.before), 0
        for tap in range(axis.kernel):
            found |= _thinned(placed >> tap * axis.dilation, axis.stride)
        return found & full(size)


class Bins(Link, frozen=True):
    """The cells from floor(p*inputs/outputs) to ceil((p+1)*inputs/outputs): adaptive pools."""

    inputs: int
    outputs: int

    @property
    def pace(self) -> tuple[int, int]:
        """All inputs for all outputs, in lowest terms."""
        return _ratio(self.outputs, self.inputs)

    def run(self, cell: int) -> Run:
        """One bin."""
        first = cell * self.inputs // self.outputs
        return first, 1, -(-(cell + 1) * self.inputs // self.outputs) - first


class Resized(Link, frozen=True):
    """The `taps` cells around (p + 1/2)*inputs/outputs - 1/2, the centre of cell p: interpolation.

    aligned: around p*inputs/outputs (torch's "nearest", and aligned corners). taps 1: the cell it lies in.
    """

    inputs: int
    outputs: int
    taps: int
    aligned: bool = False

    @property
    def pace(self) -> tuple[int, int]:
        """All inputs for all outputs, in lowest terms."""
        return _ratio(self.outputs, self.inputs)

    def run(self, cell: int) -> Run:
        """A cell that is hit exactly has all the weight."""
        twice = (2 * cell + (not self.aligned)) * self.inputs - (
            self.outputs if not self.aligned and self.taps > 1 else 0
        )
        first, rest = divmod(twice, 2 * self.outputs)
        return (first, 1, 1) if self.taps == 1 or not rest else (first - self.taps // 2 + 1, 1, self.taps)

    def reads(self, cell: int, size: int) -> Sequence[int]:
        """What lies beyond an end is the end's cell."""
        first, _, count = self.run(cell)
        return range(min(max(first, 0), size - 1), min(max(first + count - 1, 0), size - 1) + 1)

    def back(self, cells: Cells, size: int) -> Cells:
        """The ends' cells in place of what lies beyond them."""
        found = 0
        for cell in members(cells):
            there = self.reads(cell, size)
            found |= progression((there[0], 1, len(there)), size)
        return found


class All(Link, frozen=True):
    """All `size` cells, whatever the output cell."""

    everything: ClassVar[bool] = True
    size: int

    @property
    def pace(self) -> tuple[int, int]:
        """It never moves."""
        return 1, 0

    def run(self, cell: int) -> Run:
        """Everything."""
        del cell
        return 0, 1, self.size

    def back(self, cells: Cells, size: int) -> Cells:
        """Everything, if anything is asked for."""
        return full(min(self.size, size)) if cells else 0


class Same(Link, frozen=True):
    """Each cell its own."""

    def back(self, cells: Cells, size: int) -> Cells:
        """The same ones."""
        return cells & full(size)


SAME = Same()


class Reach(msgspec.Struct, frozen=True, cache_hash=True):
    """The fields of all cells along one axis of the input: where each begins and ends, padding not cut off.

    ends: those of the first cells; len(ends) cells further on everything lies `step` input cells further on. More than
    one cell's are needed where a transposed layer or resizing lets neighbours see fields of different sizes. A step of
    0: every cell sees the same, cut off at the ends of the input.
    length: of the input, 0 for an input without ends. place: the tensor's axis that the cells lie along, None when
    there is none left. merged: the number of cells, where that axis is shared with others by Flatten or Reshape.
    """

    ends: tuple[Ends, ...] = ((0, 0),)
    step: int = 1
    length: int = 0
    place: int | None = None
    merged: int = 0

    @property
    def size(self) -> int:
        """Of the largest field."""
        return max((ends[1] - ends[0] + 1 for ends in self.ends if ends), default=0)

    @property
    def jump(self) -> int | Fraction:
        """The distance between the fields of neighbours, on the average."""
        return _quotient(self.step, len(self.ends))

    @property
    def twice_start(self) -> int | Fraction:
        """Twice the centre of the first field, on the average over the cells; cell 0 of the input covers 0 to 1."""
        turns = len(self.ends)
        # the centre of cell p less p jumps, times the number of turns
        seen = [(ends[0] + ends[1] + 1) * turns - 2 * p * self.step for p, ends in enumerate(self.ends) if ends]
        return _quotient(sum(seen), turns * len(seen)) if seen else 0

    def at(self, cell: int) -> Ends:
        """Where the field of one cell begins and ends."""
        turn, place = divmod(cell, len(self.ends))
        ends = self.ends[place]
        return (ends[0] + turn * self.step, ends[1] + turn * self.step) if ends else None

    def through(self, link: Link, place: int | None = None) -> Reach | None:
        """The fields of the cells that read these by `link`; None when too many of them differ."""
        outputs, inputs = link.pace
        turns = len(self.ends)
        if turns == 1 == outputs and inputs and (only := self.ends[0]):  # the usual case, in short
            first, distance, count = link.run(0)
            last = first + (count - 1) * distance
            ends: tuple[Ends, ...] = ((only[0] + first * self.step, only[1] + last * self.step),)
            return Reach(ends, self.step * inputs, self.length, place)
        times = turns // gcd(turns, inputs)
        if outputs * times > MOST_TURNS:
            return None
        step = self.step * (times * inputs) // turns
        ends = tuple([self._ends(link.run(cell)) for cell in range(outputs * times)])
        if step == 0 and self.step:
            ends = tuple([self._inside(one) for one in ends])
        return Reach(ends, step, self.length, place)

    def union(self, other: Reach, cells: int) -> Reach | None:
        """The fields that hold both, of so many cells; None where nobody can tell."""
        if self == other:
            return self
        place, merged = (self.place, self.merged) if other.place is None else (other.place, other.merged)
        apart = self.place is not None and (self.place, self.merged) != (place, merged)
        if self.length != other.length or apart:
            return None
        if self.step * len(other.ends) != other.step * len(self.ends):
            still, moving = (other, self) if self.step else (self, other)
            holds = not still.step and still.holds(moving, cells)
            return Reach(still.ends, 0, self.length, place, merged) if holds else None
        turns = lcm(len(self.ends), len(other.ends))
        if turns > MOST_TURNS:
            return None
        ends = tuple([_hull(self.at(cell), other.at(cell)) for cell in range(turns)])
        return Reach(ends, self.step * (turns // len(self.ends)), self.length, place, merged)

    def holds(self, other: Reach, cells: int) -> bool:
        """Whether what every cell of these sees, inside the input, holds what any of `other`'s first `cells` sees."""
        whole = other.through(All(cells))
        theirs = whole.ends[0] if whole else None
        return theirs is None or all(ends and ends[0] <= theirs[0] and theirs[1] <= ends[1] for ends in self.ends)

    def _ends(self, run: Run) -> Ends:
        """The ends of what the cells of `run` see together."""
        first, distance, count = run
        last = first + (count - 1) * distance
        found: Ends = None
        turns = len(self.ends)
        for nth in range(min(count, turns // gcd(turns, distance))):  # then the turns repeat, further inside
            found = _hull(_hull(found, self.at(first + nth * distance)), self.at(last - nth * distance))
        return found

    def _inside(self, ends: Ends) -> Ends:
        """What lies in the input."""
        if not self.length or not ends:
            return ends
        first, last = max(ends[0], 0), min(ends[1], self.length - 1)
        return (first, last) if first <= last else None


def full(size: int) -> Cells:
    """All of `size` cells."""
    return (1 << max(size, 0)) - 1


def members(cells: Cells) -> Iterator[int]:
    """The cells of a set, in order."""
    place, digits = -1, bin(cells)[:1:-1]
    while (place := digits.find("1", place + 1)) >= 0:
        yield place


def inside(run: Run, size: int) -> range:
    """The cells of `run` that lie in 0 to size - 1."""
    first, distance, count = run
    start = first % distance if first < 0 else first
    return range(start, min(first + distance * count, size), distance)


def progression(run: Run, size: int) -> Cells:
    """The cells of `run` that lie in 0 to size - 1, as a set."""
    there = inside(run, size)
    if not there:
        return 0
    return ((1 << there.step * len(there)) - 1) // ((1 << there.step) - 1) << there.start


def _mirrored(place: int, size: int, mode: str) -> int:
    """The cell that padding shows at `place`, which lies outside 0 to size - 1."""
    if mode == "circular":
        return place % size
    end = 0 if place < 0 else size - 1
    return end if mode == "replicate" else 2 * end - place


def _spread(cells: Cells, stride: int) -> Cells:
    """Cell p at stride*p."""
    return cells if stride == 1 else int(("0" * (stride - 1)).join(f"{cells:b}"), 2)


def _thinned(cells: Cells, stride: int) -> Cells:
    """Cell stride*p at p; the others are gone."""
    return cells if stride == 1 else int(bin(cells)[:1:-1][::stride][::-1], 2)


def _moved(cells: Cells, by: int) -> Cells:
    """Every cell `by` further on; what would lie before 0 is gone."""
    return cells << by if by >= 0 else cells >> -by


def _hull(one: Ends, other: Ends) -> Ends:
    if not one or not other:
        return one or other
    return min(one[0], other[0]), max(one[1], other[1])


def _ratio(outputs: int, inputs: int) -> tuple[int, int]:
    shared = gcd(outputs, inputs)
    return (outputs // shared, inputs // shared) if inputs else (1, 0)


def _quotient(number: int, divisor: int) -> int | Fraction:
    if number % divisor == 0:
        return number // divisor
    from fractions import Fraction  # a slow import that only fractional jumps need

    return Fraction(number, divisor)
