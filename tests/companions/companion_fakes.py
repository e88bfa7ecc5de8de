"""Backends whose layers between convolutions are wrong, each in one place: numpy's, but for what is changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.backends import Facts
from convcli.backends import numpy as ours
from convcli.backends.companions import values
from convcli.layers import Layer, Shape

if TYPE_CHECKING:
    from collections.abc import Callable

    from convcli.backends import Array, Arrays


class Companions:
    """What numpy says, passed through `change`; facts with `more` parameters and macs."""

    def __init__(self, change: Callable[[Layer, Arrays, Array], Array], more: int = 0):
        self.change, self.more = change, more

    def forward(self, layer: Layer, arrays: Arrays) -> Array:
        """y, changed."""
        y = self.change(layer, arrays, values(layer, arrays).y)
        return y.astype(arrays["x"].dtype)

    def facts(self, layer: Layer, shapes: tuple[Shape, ...]) -> Facts:
        """Ours, changed."""
        batch, x, settled = layer.on(shapes)
        macs = settled.counts(x, int(np.prod(batch))).macs + self.more
        return Facts((*batch, *settled.output(x)), settled.tensors(x), macs)


class Fake:
    """A backend of companions."""

    def __init__(self, change: Callable[[Layer, Arrays, Array], Array] = lambda _, __, y: y, more: int = 0):
        self.companions = Companions(change, more)

    def versions(self) -> dict[str, str]:
        """None."""
        return {}

    def __getattr__(self, name: str) -> Any:
        return getattr(ours, name)


def _last_off(_: Layer, __: Arrays, y: Array) -> Array:
    """The last element is off by 1e-4 of itself."""
    y = y.copy()
    y[(-1,) * y.ndim] *= 1 + 1e-4
    return y


def _no_eps(layer: Layer, arrays: Arrays, y: Array) -> Array:
    """BatchNorm's eps is added outside of the root."""
    eps, variance = getattr(layer, "eps", 0.0), arrays["running_var"].astype(np.float64)
    column = (-1, *(1,) * (y.ndim - 2))
    return y * (np.sqrt(variance + eps) / (np.sqrt(variance) + eps)).reshape(column)


faithful = Fake()
last_off = Fake(_last_off)
shifted = Fake(lambda _, __, y: np.roll(y, 1, axis=-1))
transposed = Fake(lambda _, __, y: y.swapaxes(-1, -2))
halved = Fake(lambda _, __, y: y.astype(np.float16))
no_eps = Fake(_no_eps)
more_macs = Fake(more=1)
