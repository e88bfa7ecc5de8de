"""The products behind one element of a result: which cell times which weight, found through the layer's linearity.

y[q] is linear in the weight, so its gradient there has, for every weight, what that weight is multiplied with; on an
input whose cells hold their own numbers, it has the number of that cell. Gradients are linear in dy likewise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from math import prod
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from convcli.backends import numpy as ours
from convcli.backends import part_arrays
from convcli.backends.compose import image_shape, predicted, told
from convcli.layers import DeformConv, DeformConvPack, DeformRoIPool, DeformRoIPoolPack, Layer, Separable

if TYPE_CHECKING:
    from convcli.backends import Array, Arrays

Place = tuple[int, ...]
LISTED = 10
MANY = 4096  # terms that are looked through for those that are missing


class Term(msgspec.Struct, frozen=True):
    """One product: `value`, read at `cell` of `source`, times `factor`, the number at `place` of `by`.

    cell None: more than one cell, as where a deformable layer samples between them. A bin's `share` of a cell is no
    array that anyone gave: as `by` its place is the cell, as `source` its cell is the bin.
    """

    source: str
    cell: Place | None
    value: float
    by: str
    place: Place
    factor: float

    @property
    def product(self) -> float:
        """value * factor"""
        return self.value * self.factor

    @property
    def name(self) -> str:
        """x[0, 0, 2, 1] * weight[1, 0, 0, 0]"""
        read = f"{self.source}{list(self.cell)}" if self.cell is not None else f"a sample of {self.source}"
        return f"{read} * {self.by}{list(self.place)}"


class Sum(msgspec.Struct, frozen=True):
    """name[place] = bias + the terms; found: what the other side has there instead."""

    name: str
    place: Place
    bias: float
    terms: tuple[Term, ...]
    found: float = 0.0

    @property
    def total(self) -> float:
        """The right value."""
        return self.bias + sum(term.product for term in self.terms)


def lines(added: Sum) -> tuple[str, ...]:
    """y[0, 1, 3, 2] = bias -2 + 12 products = 17, found 12; the products, as far as they are few; what is missing."""
    count = len(added.terms)
    products = f"{count:,} product{'' if count == 1 else 's'}"
    bias = f"bias {added.bias:.9g} + " if added.bias else ""
    head = f"{added.name}{list(added.place)} = {bias}{products} = {added.total:.9g}, found {added.found:.9g}"
    listed = added.terms if count <= LISTED else added.terms[: LISTED - 1]
    words = (f"{term.name} = {term.value:.9g} * {term.factor:.9g} = {term.product:.9g}" for term in listed)
    more = (f"and {count - len(listed):,} more",) if count > len(listed) else ()
    return (head, *words, *more, *filter(None, [missing(added)]))


def missing(added: Sum) -> str:
    """Which terms, left out or taken twice, give the found value; "" when none do, or several might."""
    error = added.found - added.total
    if not np.isfinite(error) or not error or not 0 < len(added.terms) <= MANY:
        return ""
    if added.bias and error == -added.bias:
        return "found is expected minus the bias"
    if added.found == added.bias:
        return "found is the bias alone" if added.bias else ""
    for words, sums in _groups(added.terms):
        for verb, wanted in (("minus", -error), ("plus once more", error)):
            fitting = [label for label, total in sums.items() if total == wanted]
            if len(fitting) == 1 and len(sums) > 1:
                return f"found is expected {verb} {words} {fitting[0]}"
    return ""


def _groups(terms: tuple[Term, ...]) -> Iterator[tuple[str, dict[str, float]]]:
    """Sums that may be missing as a whole: single products, taps, channels, rows of taps; of gradients, images."""
    yield "the product", _summed(terms, lambda term: term.name)
    if terms[0].by == "share":
        return
    if terms[0].by == "dy":
        what = "region" if terms[0].source == "share" else "image"
        yield f"the products of {what}", _summed(terms, lambda term: str(term.place[0]))
        return
    yield "the products of tap", _summed(terms, lambda term: str(term.place[2:]))
    yield "the products of weight channel", _summed(terms, lambda term: str(term.place[:2]))
    for axis in range(2, len(terms[0].place)):
        yield f"the products of the taps whose index on axis {axis - 2} is", _summed(terms, partial(_on_axis, axis))


def _on_axis(axis: int, term: Term) -> str:
    return str(term.place[axis])


def _summed(terms: tuple[Term, ...], label: Callable[[Term], str]) -> dict[str, float]:
    sums: dict[str, float] = {}
    for term in terms:
        sums[label(term)] = sums.get(label(term), 0.0) + term.product
    return sums


def sum_of(layer: Layer, arrays: Arrays, name: str, place: Place) -> Sum | None:
    """The sum behind one element of y, of a layer's gradient in x or in the weight; None where it is another thing."""
    wide = {key: array.astype(np.float64) for key, array in arrays.items()}
    if name != "y":
        if layer.parts(image_shape(layer, wide)) or name not in {"x", "weight"}:
            return None
        gradient = _of_cell if isinstance(layer, DeformRoIPool) else _of_gradient
        return Sum(f"grad_{'input' if name == 'x' else name}", place, 0.0, tuple(gradient(layer, wide, name, place)))
    prefix, source, part, given = _last(layer, wide)
    if "rois" in given:
        return Sum(name, place, 0.0, tuple(_of_bin(part, given, place)))
    terms = tuple(_of_output(part, given, place, source, f"{prefix}weight"))
    bias = float(given["bias"][place[-1 - len(layer.axes)]]) if "bias" in given else 0.0
    return Sum(name, place, bias, terms)


def _last(layer: Layer, arrays: dict[str, Array]) -> tuple[str, str, Layer, dict[str, Array]]:
    """(prefix of its tensors, what its input is called, layer, arrays) of the part whose sums the outputs are."""
    if isinstance(layer, Separable):
        first, second = layer.parts(image_shape(layer, arrays))
        between = ours.forward(first.layer, {"x": arrays["x"], **part_arrays(first.name, arrays)})
        return f"{second.name}.", "depthwise(x)", second.layer, {"x": between, **part_arrays(second.name, arrays)}
    if isinstance(layer, DeformConvPack):
        *_, deform = layer.parts(image_shape(layer, arrays))
        side = predicted(layer, arrays, ours.forward)
        return f"{deform.name}.", "x", deform.layer, {"x": arrays["x"], **side, **part_arrays(deform.name, arrays)}
    if isinstance(layer, DeformRoIPoolPack):
        *_, pool = layer.parts(image_shape(layer, arrays))
        return "", "x", pool.layer, told(layer, arrays, ours.forward)[pool.name]
    return "", "x", layer, arrays


def _of_bin(layer: Layer, arrays: dict[str, Array], place: Place) -> Iterator[Term]:
    """The cells that a bin reads and the share of each: the gradient of the bin's value in x."""
    dy = np.zeros_like(ours.forward(layer, arrays))
    dy[place] = 1
    shares = ours.backward(layer, arrays, dy)["x"]
    for index in zip(*np.nonzero(shares * arrays["x"]), strict=True):
        cell = _place(index)
        yield Term("x", cell, float(arrays["x"][index]), "share", cell, float(shares[index]))


def _of_output(layer: Layer, arrays: dict[str, Array], place: Place, source: str, by: str) -> Iterator[Term]:
    dy = np.zeros_like(ours.forward(layer, arrays))
    dy[place] = 1
    values = ours.backward(layer, arrays, dy)["weight"]
    between = isinstance(layer, DeformConv)
    cells = values if between else ours.backward(layer, {**arrays, "x": _numbered(arrays["x"])}, dy)["weight"]
    for index in zip(*np.nonzero(values * arrays["weight"]), strict=True):
        cell = None if between else _cell(cells[index], arrays["x"])
        yield Term(source, cell, float(values[index]), by, _place(index), float(arrays["weight"][index]))


def _of_cell(layer: Layer, arrays: dict[str, Array], name: str, place: Place) -> Iterator[Term]:
    """A pool's gradient in one cell: the share that each bin has of it, times dy there."""
    alone = np.zeros_like(arrays[name])
    alone[place] = 1
    shares = ours.forward(layer, {**arrays, name: alone})
    for index in zip(*np.nonzero(shares * arrays["dy"]), strict=True):
        bin_ = _place(index)
        yield Term("share", bin_, float(shares[index]), "dy", bin_, float(arrays["dy"][index]))


def _of_gradient(layer: Layer, arrays: dict[str, Array], name: str, place: Place) -> Iterator[Term]:
    """By linearity in dy: each output's share is the layer's answer to the one element, alone and without bias."""
    source = "weight" if name == "x" else "x"
    alone = np.zeros_like(arrays[name])
    alone[place] = 1
    plain = msgspec.structs.replace(layer, bias=False)
    given = {key: array for key, array in arrays.items() if key not in {"bias", "dy"}} | {name: alone}
    shares = ours.forward(plain, given)
    one = not isinstance(layer, DeformConv) and getattr(layer, "padding_mode", "zeros") == "zeros"
    cells = ours.forward(plain, {**given, source: _numbered(arrays[source])}) if one else shares
    for index in zip(*np.nonzero(shares * arrays["dy"]), strict=True):
        cell = _cell(cells[index], arrays[source]) if one else None
        yield Term(source, cell, float(shares[index]), "dy", _place(index), float(arrays["dy"][index]))


def _numbered(array: Array) -> Array:
    """Every cell its own number, from 1 on: 0 is padding."""
    return np.arange(1.0, prod(array.shape) + 1).reshape(array.shape)


def _cell(number: float, array: Array) -> Place:
    return _place(np.unravel_index(int(number) - 1, array.shape))


def _place(index: tuple[object, ...]) -> Place:
    return tuple(int(i) for i in index)  # type: ignore[call-overload]
