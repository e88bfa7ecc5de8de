"""From the words of a row to numbers: axes and sizes on which they are legal, chosen among those that are."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, TypeVar

import msgspec

from convcli.axis import AUTO_PADDING, Axis
from convcli.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.layers import Shape
    from convcli.verifier.fuzz.covering import Row

T = TypeVar("T")
SIZES = {1: 10, 2: 6, 3: 4}  # how many of the smallest legal sizes are chosen from, by rank
LARGER = (4, 5)  # kernels of an axis that is shorter
UNEVEN = (1, 2, 3)


class Draw:
    """Random choices that are the same for the same words, everywhere: `random()` alone is kept through versions."""

    def __init__(self, *words: object):
        self._random = Random("/".join(map(str, words)))  # noqa: S311 - not a secret

    def pick(self, values: Sequence[T]) -> T:
        """One of them."""
        return values[int(self._random.random() * len(values))]

    def shuffled(self, values: Sequence[T]) -> list[T]:
        """All of them in some order."""
        return [values[i] for _, i in sorted((self._random.random(), i) for i in range(len(values)))]


def slides(row: Row, draw: Draw, *, transposed: bool = False, heavy: bool = False) -> tuple[tuple[Axis, ...], Shape]:
    """The axes, their padding as numbers, and the spatial sizes. heavy: the smallest sizes that do."""
    rank = int(row["rank"] or 0)
    strides, dilations = _each(row["stride"], rank, draw), _each(row["dilation"], rank, draw)
    largest = _largest(row, dilations, draw)
    kernels = _kernels(row, rank, largest, draw)
    axes = [
        Axis(k, s, d, output_padding=_extra(row, s, d)) for k, s, d in zip(kernels, strides, dilations, strict=True)
    ]
    fitting: list[dict[int, list[Axis]]] = []
    for place, axis in enumerate(axes):
        most = axis.kernel - 1 if transposed else axis.span - 1
        sizes = range(2, axis.span + 3 * axis.stride + 8)
        if row["size"] == "one" and place == rank - 1:
            sizes = range(1, 2)
        elif place == largest:
            sizes = range(2, most + 1)
        found = {size: _padded(axis, size, row, transposed=transposed) for size in sizes}
        fitting.append({size: ways for size, ways in found.items() if ways})
    space = _space(row, fitting, largest, draw, 2 if heavy else SIZES[rank])
    return tuple(draw.pick(ways[size]) for ways, size in zip(fitting, space, strict=True)), space


def _each(value: object, rank: int, draw: Draw) -> list[int]:
    """One number on every axis, or another one on each."""
    if value == "uneven":
        return draw.shuffled(UNEVEN)[:rank] if rank > 1 else [draw.pick((2, 3, 4))]
    return [int(str(value))] * rank


def _largest(row: Row, dilations: list[int], draw: Draw) -> int | None:
    """The axis whose kernel is larger than the input: the one that its dilation makes the longest, or the last."""
    if row["kernel"] != "larger":
        return None
    if row["size"] == "one":
        return len(dilations) - 1
    return draw.pick([place for place, dilation in enumerate(dilations) if dilation == max(dilations)])


def _kernels(row: Row, rank: int, largest: int | None, draw: Draw) -> list[int]:
    if largest is not None:
        kernels = [draw.pick(UNEVEN) for _ in range(rank)]
        kernels[largest] = draw.pick(LARGER[: 1 if rank == 3 else 2])
        return kernels
    if row["kernel"] != "uneven":
        return [int(str(row["kernel"]))] * rank
    if rank == 1:
        return [draw.pick((2, 3, 4, 5))]
    others = draw.shuffled(UNEVEN[1:])
    if row["size"] == "one":
        return [*others, 1][-rank:]  # a single cell has room for no more
    return draw.shuffled([1, *others][:rank])


def _extra(row: Row, stride: int, dilation: int) -> int:
    """output_padding, below max(stride, dilation)."""
    most = max(stride, dilation) - 1
    return min(most, {0: 0, 1: 1}.get(row.get("output_padding", 0), most))  # type: ignore[arg-type]


def _padded(axis: Axis, size: int, row: Row, *, transposed: bool) -> list[Axis]:
    """The axis with each padding that the row's word may mean and that is legal there."""
    word, mode = str(row["padding"]), str(row.get("padding_mode", "zeros"))
    if word in AUTO_PADDING:
        waiting = msgspec.structs.replace(axis, auto=word)
        found = [waiting.transposed_settled(size) if transposed else waiting.settled(size)]
    else:
        pads = _pads(word, axis.span, transposed)
        if word == "crop" and not transposed:  # a descriptor's right padding is just what the output needs
            pads = [(a, b) for a, b in pads if (size + a + b - axis.span) % axis.stride == 0]
        found = [msgspec.structs.replace(axis, before=a, after=b) for a, b in pads]
    return [axis for axis in found if _legal(axis, size, mode, transposed=transposed)]


def _pads(word: str, span: int, transposed: bool) -> list[tuple[int, int]]:  # noqa: FBT001
    """(before, after) by the word; what crops a transposed layer is more than the kernel adds."""
    some, far = range(1, max(3, (span + 1) // 2) + 1), range(1, max(3, span - 1) + 1)
    cropping = [pair for a in (span, span + 1) for b in (0, 1) for pair in ((a, b), (b, a))]
    ways = {
        "valid": [(0, 0)],
        "symmetric": [(a, a) for a in some],
        "asymmetric": [(a, b) for a in some for b in some if a != b],
        "one-sided": [pair for a in far for pair in ((a, 0), (0, a))],
        "same": [((span - 1) // 2, span - 1 - (span - 1) // 2)],
        "crop": cropping if transposed else [(a, -b) for a in (0, 1) for b in (1, 2, 3)],
    }
    return ways[word]


def _legal(axis: Axis, size: int, mode: str, *, transposed: bool) -> bool:
    try:
        if transposed:
            axis.transposed_out(size)
        else:
            axis.out(size)
        axis.check_padding_mode(mode, size)
    except SpecError:
        return False
    return True


def _space(row: Row, fitting: list[dict[int, list[Axis]]], largest: int | None, draw: Draw, few: int) -> Shape:
    """A size for every axis, all of them different or all equal; the axis with the fewest sizes chooses first."""
    if row["size"] == "square":
        common = [size for size in fitting[0] if all(size in ways for ways in fitting)]
        return (draw.pick(common[:few]),) * len(fitting)
    chosen: dict[int, int] = {}
    for place in sorted(range(len(fitting)), key=lambda place: (place != largest, len(fitting[place]))):
        free = [size for size in fitting[place] if size not in chosen.values()]
        chosen[place] = draw.pick(free[:few])
    return tuple(chosen[place] for place in range(len(fitting)))
