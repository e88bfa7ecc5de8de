"""Tensors without memory: parameters and activations live on the meta device, small constants keep their values.

`torch.device("meta")` takes the values of everything, and models that compute with a small tensor of their own
(regnets' widths, anchors, `torch.linspace(...).item()`) fail. Here only what may be large has no values: what is
uninitialised, random or filled. What meets a tensor without values has none either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

SMALL = 4096  # elements of a filled tensor that keeps its values
LARGE = 65536  # elements from which on nothing has values
RANDOM = frozenset({"empty", "empty_strided", "rand", "randn", "normal", "randint", "randperm", "bernoulli"})
FILLED = frozenset({"zeros", "ones", "full"})
VALUES = frozenset({"tensor", "as_tensor", "arange", "linspace", "logspace", "eye", "range", "scalar_tensor",
                    "tril_indices", "triu_indices", "hann_window", "hamming_window", "from_numpy",
                    "complex", "meshgrid"})  # fmt: skip
MOVES = frozenset({"to", "cpu", "cuda", "type", "xpu", "npu"})
LIKE = frozenset({"new_zeros", "new_ones", "new_full", "new_empty", "new_tensor"})


class NeedsDataError(RuntimeError):
    """The model asks what a value is, and there is none."""


class Ghost:
    """How torch's functions are called so that nothing large has memory."""

    def __init__(self) -> None:
        self.hollow: dict[int, torch.Tensor] = {}  # tensors that had values once, and were written to

    def call(self, func: Callable[..., Any], name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """func(*args, **kwargs), on tensors of one kind."""
        if name in RANDOM or name in FILLED or name in VALUES:
            kwargs = self._placed(name, args, kwargs)
        found = list(tensors((args, kwargs)))
        if not any(map(self.bare, found)):
            return func(*args, **kwargs)
        if name in MOVES:
            return self._moved(args, kwargs)
        if name in LIKE:
            kwargs = {**kwargs, "device": "meta"}
        if any(x.device.type != "meta" for x in found):
            if in_place(name) and args[0].device.type != "meta":
                self.hollow[id(args[0])] = args[0]  # it keeps its shape, and its values are gone
                return args[0]
            args, kwargs = emptied((args, kwargs))
        return func(*args, **kwargs)

    def bare(self, x: torch.Tensor) -> bool:
        """Whether x has no values."""
        return x.device.type == "meta" or x.numel() > LARGE or id(x) in self.hollow

    @staticmethod
    def _placed(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The device of what is made: meta for what may be large."""
        if any(True for _ in tensors((args, kwargs))) and name not in VALUES:
            return kwargs
        if name in VALUES:
            return {**kwargs, "device": "cpu"} if "device" in kwargs else kwargs
        sizes = kwargs.get("size", args[0] if args and isinstance(args[0], tuple | list) else args)
        small = name in FILLED and all(isinstance(n, int) for n in sizes) and prod(sizes) <= SMALL
        return {**kwargs, "device": "cpu" if small else "meta"}

    @staticmethod
    def _moved(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A move to another device, which is none: of what it says, the data type alone counts."""
        dtypes = [word for word in (*args[1:], *kwargs.values()) if isinstance(word, torch.dtype)]
        others = [word for word in args[1:] if isinstance(word, torch.Tensor)]
        dtypes += [other.dtype for other in others]
        x = emptied(args[0])
        return torch.Tensor.to(x, dtypes[0]) if dtypes else args[0]


class Building(TorchFunctionMode):  # type: ignore[misc]
    """While a model is built: its parameters get no memory."""

    def __init__(self) -> None:
        super().__init__()
        self.ghost = Ghost()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Torch calls this in place of each of its functions."""
        del types
        return self.ghost.call(func, getattr(func, "__name__", ""), args, kwargs or {})


def in_place(name: str) -> bool:
    """add_, __iadd__, __setitem__: not __add__."""
    return (
        (name.startswith("__i") and name != "__invert__") or name == "__setitem__"
        if name.endswith("__")
        else name.endswith("_")
    )


def tensors(value: Any) -> Iterator[torch.Tensor]:
    """The tensors in arguments or results, in order."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from tensors(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors(item)
    elif isinstance(value, slice):
        yield from tensors((value.start, value.stop, value.step))
    elif hasattr(value, "__dataclass_fields__") or type(value).__module__.startswith("torchvision"):
        yield from tensors(getattr(value, "__dict__", {}))


def emptied(value: Any) -> Any:
    """The same arguments, every tensor without its values."""
    if isinstance(value, torch.Tensor):
        return value if value.device.type == "meta" else torch.empty_like(value, device="meta")
    if isinstance(value, tuple | list):
        made = [emptied(item) for item in value]
        return type(value)(*made) if hasattr(value, "_fields") else type(value)(made)
    if isinstance(value, dict):
        return {key: emptied(item) for key, item in value.items()}
    return value
