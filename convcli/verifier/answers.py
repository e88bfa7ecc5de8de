"""What a backend is told beside the arrays, and what its answer must be."""

from __future__ import annotations

from typing import Any

import numpy as np

from convcli.backends import Unsupported, backend
from convcli.verifier.formats import stored

FORMATS = "FORMATS"


def format_of(name: str, dtype: str) -> tuple[str, ...]:
    """What a backend must be told beside the arrays: the format that numpy has no type for."""
    if stored(dtype) == dtype:
        return ()
    if dtype not in getattr(backend(name), FORMATS, ()):
        raise Unsupported(f"it has no {dtype} here, for numpy has none")
    return (dtype,)


def numbers(result: Any) -> Any:
    """The result as an array. Raises TypeError when it is none of numbers."""
    y = np.asarray(result)
    if y.dtype.kind not in "fiub":
        raise TypeError(f"the result is an array of {y.dtype}")
    return y
