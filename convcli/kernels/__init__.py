"""Convolutions on numpy arrays: 1-D, 2-D and 3-D by the arrays' rank, several methods for each, all by name.

Nothing here imports torch. `METHODS` maps each function's name to the names its `method=` takes.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from convcli.kernels.conv import METHODS as _CONV
from convcli.kernels.conv import conv, conv_matrix
from convcli.kernels.deform import METHODS as _DEFORM
from convcli.kernels.deform import deform_conv2d
from convcli.kernels.transposed import METHODS as _TRANSPOSED
from convcli.kernels.transposed import conv_transpose

if TYPE_CHECKING:
    from collections.abc import Mapping

METHODS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"conv": tuple(_CONV), "conv_transpose": tuple(_TRANSPOSED), "deform_conv2d": tuple(_DEFORM)}
)

__all__ = ["METHODS", "conv", "conv_matrix", "conv_transpose", "deform_conv2d"]
