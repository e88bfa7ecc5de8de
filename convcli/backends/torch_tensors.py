"""Arrays as PyTorch's tensors and back, and what PyTorch says when it lacks a kernel."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from convcli.backends import Unsupported

if TYPE_CHECKING:
    from convcli.backends import Array

LACKING = ("not implemented for", "custom C++ ops", "Could not run")  # how torch says that it has no such kernel


def tensor_of(array: Array, dtype: str) -> Tensor:
    """In the format `dtype`, or as it is."""
    tensor = torch.from_numpy(array)
    return tensor.to(getattr(torch, dtype)) if dtype else tensor


def array_of(tensor: Tensor) -> Array:
    """As numpy has it: bfloat16 in single precision."""
    return cast("Array", (tensor.float() if tensor.dtype is torch.bfloat16 else tensor).numpy())


@contextmanager
def refusals() -> Iterator[None]:
    """What torch lacks is Unsupported; what it refuses is its own error."""
    try:
        yield
    except (RuntimeError, NotImplementedError) as error:
        if isinstance(error, NotImplementedError) or any(words in str(error) for words in LACKING):
            raise Unsupported(str(error).splitlines()[0]) from None
        raise
