"""What a deliberately wrong implementation is, and the few ways in which most of them go wrong."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import numpy as np

from convcli.axis import Axis
from convcli.backends import Facts
from convcli.backends import numpy as ours
from convcli.layers import Layer, Shape
from convcli.plan import Network, Step, plan
from convcli.spec.build import spelled_network
from convcli.verifier.facts import UNCOUNTED
from convcli.verifier.job import primitives

if TYPE_CHECKING:
    from convcli.backends import Array, Arrays

    Gradients = dict[str, Array]

DTYPES = ("float64", "float32")
Wrong = Callable[[Any, "dict[str, Array]"], Any]
Kind = TypeVar("Kind", bound=Layer)


class Mutant(msgspec.Struct, frozen=True, kw_only=True):
    """A backend with one deliberate error in the layers of its kinds; what else it is asked for is right.

    says: what the error looks like, for a diagnosis. layer, input: the smallest on which it shows. dtypes: where it
    does. gradient: the error is in `backward` alone.
    """

    name: str
    says: str
    kinds: tuple[str, ...]
    layer: str
    input: Shape
    wrong: Wrong
    dtypes: tuple[str, ...] = DTYPES
    gradient: bool = False

    def versions(self) -> dict[str, str]:
        """Our own: only the error is not."""
        return ours.versions()

    def forward(self, layer: Layer, arrays: Arrays) -> Array:
        """y, wrong. Like every implementation it raises where its error leads to shapes that do not fit."""
        if self.gradient or layer.kind not in self.kinds:
            return ours.forward(layer, arrays)
        y: Array = self.wrong(layer, dict(arrays))
        return y

    def backward(self, layer: Layer, arrays: Arrays, dy: Array) -> Gradients:
        """The gradients by name, wrong when the error is there."""
        right = ours.backward(layer, arrays, dy)
        if not self.gradient or layer.kind not in self.kinds:
            return right
        return {**right, **self.wrong(layer, {**arrays, "dy": dy})}

    def facts(self, layer: Layer, shape: Shape) -> Facts:
        """The true facts; like torch's counter it knows no deformable products, which are proved by execution."""
        batch, x = layer.split(shape)
        known = [part for part in primitives(layer, x) if part.layer.kind not in UNCOUNTED]
        macs = sum(part.layer.counts(part.x, prod(part.of(batch))).macs for part in known)
        return Facts(layer.output_shape(shape), layer.tensors(x), macs)

    @property
    def step(self) -> Step:
        """The layer on its input, worked out."""
        return planned(self.layer, self.input, self.name)


def planned(spelling: str, shape: Shape, name: str = "") -> Step:
    """A layer in PyTorch's spelling on an input, worked out."""
    network: Network = spelled_network([spelling])
    network.input = shape
    (step,) = plan(network).steps
    return msgspec.structs.replace(step, name=name or step.name)


def mutant(
    kinds: str, layer: str, shape: Shape, *, dtypes: tuple[str, ...] = DTYPES, gradient: bool = False
) -> Callable[[Wrong], Mutant]:
    """The Mutant of a function (layer, arrays) -> y, or (layer, arrays with `dy`) -> the wrong ones of the gradients.

    Its docstring is what the error looks like.
    The arrays are the function's own dict: entries may be replaced, never changed in place.
    """

    def made(wrong: Wrong) -> Mutant:
        says = (wrong.__doc__ or "").strip()
        return Mutant(
            name=wrong.__name__,
            says=says,
            kinds=tuple(kinds.split()),
            layer=layer,
            input=shape,
            wrong=wrong,
            dtypes=dtypes,
            gradient=gradient,
        )

    return made


def gradients(layer: Layer, arrays: Arrays) -> Gradients:
    """The true gradient in each of the arrays, `dy` among which is the output's."""
    return ours.backward(layer, {name: array for name, array in arrays.items() if name != "dy"}, arrays["dy"])


def moved(layer: Kind, change: Callable[[Axis], Axis]) -> Kind:
    """The layer with every axis changed."""
    return replaced(layer, tuple(change(axis) for axis in layer.axes))


def replaced(layer: Kind, axes: tuple[Axis, ...]) -> Kind:
    """The layer on other axes."""
    return msgspec.structs.replace(layer, axes=axes)


def shared(layer: Kind, field: str, order: Callable[[list[Any]], list[Any]]) -> Kind:
    """The layer with the axes' values of one field rearranged among them."""
    values = order([getattr(axis, field) for axis in layer.axes])
    return replaced(
        layer,
        tuple(msgspec.structs.replace(axis, **{field: value}) for axis, value in zip(layer.axes, values, strict=True)),
    )


def dilated(axis: Axis, dilation: int) -> Axis:
    """Another dilation and as many outputs: what the kernel reaches further comes off, or onto, the end's padding."""
    changed = msgspec.structs.replace(axis, dilation=dilation)
    return msgspec.structs.replace(changed, after=axis.after + changed.span - axis.span)


def by_channel(layer: Layer, array: Array) -> Array:
    """A view of x or y with its channels first."""
    return np.moveaxis(array, -1 - len(layer.axes), 0)


def with_channels(layer: Layer, array: Array, change: Callable[[Array], Array]) -> Array:
    """x or y with its channels changed: `change` takes and returns an array with the channels first."""
    return np.ascontiguousarray(np.moveaxis(change(by_channel(layer, array).copy()), 0, -1 - len(layer.axes)))


def images(layer: Layer, array: Array) -> Array:
    """A view of x or y with a batch axis, whatever it came with."""
    return array.reshape(-1, *array.shape[-1 - len(layer.axes) :])


def biased(layer: Layer, y: Array, arrays: Arrays) -> Array:
    """y plus the bias, if there is one."""
    return y + arrays["bias"].reshape(-1, *(1,) * len(layer.axes)) if "bias" in arrays else y


def without_bias(arrays: Arrays) -> dict[str, Array]:
    """The same with a bias of zeros."""
    return {name: np.zeros_like(array) if name == "bias" else array for name, array in arrays.items()}


def products(layer: Any, arrays: Arrays) -> list[Array]:
    """Arrays of y's shape that are one product in every element, by channel of each group and tap. No bias.

    One run of the layer with an output channel for each of them: its weight is 0 but for that product's.
    """
    weight, groups, rank = arrays["weight"], layer.groups or 1, len(layer.axes)
    transposed = layer.kind == "conv_transpose"
    rows = weight.reshape(groups, -1, *weight.shape[1:])  # (g, O/g, C/g, *kernel), or C/g before O/g
    rows = rows.swapaxes(1, 2) if transposed else rows
    outs, count = rows.shape[1], rows[0, 0].size
    single = np.zeros((groups, outs, count, count), weight.dtype)
    single[..., range(count), range(count)] = rows.reshape(groups, outs, count)
    many = single.reshape(groups, outs * count, *rows.shape[2:])
    many = many.swapaxes(1, 2).reshape(len(weight), -1, *weight.shape[2:]) if transposed else many
    many = many if transposed else many.reshape(-1, *weight.shape[1:])
    wide = msgspec.structs.replace(layer, out_channels=groups * outs * count, bias=False)
    y = ours.forward(wide, {**{name: a for name, a in arrays.items() if name != "bias"}, "weight": many})
    y = y.reshape(*y.shape[: y.ndim - 1 - rank], groups * outs, count, *y.shape[y.ndim - rank :])
    return [np.ascontiguousarray(term) for term in np.moveaxis(y, -1 - rank, 0)]
