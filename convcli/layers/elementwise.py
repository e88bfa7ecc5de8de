"""Activations, dropout, identity: y[i] = f(x[i])."""

from __future__ import annotations

from typing import ClassVar

from convcli.layers.base import Shape
from convcli.layers.companion import Companion

FREE = frozenset({"Identity", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "StochasticDepth"})
ALONG = {"Softmax": 3, "LogSoftmax": 3, "Softmax2d": 3, "Softmin": 3}  # an exponential, its part in the sum, a division


class Elementwise(Companion, frozen=True, kw_only=True):
    """A function of each element, one operation each; free in inference: dropout, identity.

    function: PyTorch's name of the module. options: what it is told, in PyTorch's words.
    """

    kind: ClassVar[str] = "elementwise"
    function: str
    options: tuple[tuple[str, object], ...] = ()

    @property
    def operations(self) -> int:
        """0 for what does nothing in inference, 3 for a softmax, else 1."""
        return 0 if self.function in FREE else ALONG.get(self.function, 1)


class PReLU(Companion, frozen=True, kw_only=True):
    """y = x where x > 0, weight * x elsewhere; one weight, or one per channel."""

    kind: ClassVar[str] = "prelu"
    num_parameters: int = 1

    @property
    def operations(self) -> int:
        """A comparison and a product."""
        return 2

    def tensors(self, x: Shape) -> dict[str, Shape]:
        """weight (num_parameters)."""
        del x
        return {"weight": (self.num_parameters,)}
