"""Activations, dropout, identity: y[i] = f(x[i])."""

from __future__ import annotations

from typing import ClassVar, Self

from convcli.errors import SpecError
from convcli.layers.base import Shape
from convcli.layers.companion import Channelled, Companion, dimension

FREE = frozenset({"Identity", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "StochasticDepth"})
ALONG = {"Softmax": 3, "LogSoftmax": 3, "Softmax2d": 3, "Softmin": 3}  # an exponential, its part in the sum, a division
RANKS = {"Softmax2d": (3, 4), "Dropout1d": (2, 3)}  # of the few modules that look at the number of axes


class Elementwise(Companion, frozen=True, kw_only=True):
    """A function of each element, one operation each; free in inference: dropout, identity.

    function: PyTorch's name of the module. options: what it is told, in PyTorch's words.
    """

    kind: ClassVar[str] = "elementwise"
    function: str
    options: tuple[tuple[str, object], ...] = ()

    def settled(self, x: Shape) -> Self:
        """Refuses axes that are not there."""
        ranks = RANKS.get(self.function)
        if ranks and len(x) not in ranks:
            words = " or ".join(map(str, ranks))
            raise SpecError(f"the input {list(x)} has {len(x)} axes", field="input", allowed=f"{words} axes")
        dim = dict(self.options).get("dim")
        if isinstance(dim, int):
            dimension("dim", dim, max(1, len(x)))
        return self

    @property
    def operations(self) -> int:
        """0 for what does nothing in inference, 3 for a softmax, else 1."""
        return 0 if self.function in FREE else ALONG.get(self.function, 1)


class PReLU(Channelled, frozen=True, kw_only=True):
    """y = x where x > 0, weight * x elsewhere; one weight, or one per channel."""

    kind: ClassVar[str] = "prelu"
    num_parameters: int = 1

    def split(self, shape: Shape) -> tuple[Shape, Shape]:
        """(N,), (C, *space); a single axis is that of the batch, for PyTorch."""
        return super().split(shape) if len(shape) > 1 else (shape, ())

    def settled(self, x: Shape) -> Self:
        """Refuses another number of weights than 1 or the channels."""
        channels = x[0] if x else 1
        if self.num_parameters not in {1, channels}:
            raise SpecError(
                f"num_parameters={self.num_parameters}, but the input has {channels} channels",
                field="num_parameters",
                allowed=f"1, or {channels}",
            )
        return super().settled(x)

    @property
    def operations(self) -> int:
        """A comparison and a product."""
        return 2

    def tensors(self, x: Shape) -> dict[str, Shape]:
        """weight (num_parameters)."""
        del x
        return {"weight": (self.num_parameters,)}
