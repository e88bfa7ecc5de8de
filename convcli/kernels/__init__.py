"""Convolutions and their gradients on numpy arrays: 1-D, 2-D and 3-D by the arrays' rank, several methods, all by name.

Nothing here imports torch. `METHODS` maps each function's name to the names its `method=` takes; those in
`ROUNDS` round even where all others are exact.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from convcli.kernels.conv import METHODS as _CONV
from convcli.kernels.conv import ROUNDS, conv, conv_matrix
from convcli.kernels.conv_backward import METHODS as _CONV_BACKWARD
from convcli.kernels.conv_backward import conv_backward
from convcli.kernels.deform import METHODS as _DEFORM
from convcli.kernels.deform import deform_conv2d
from convcli.kernels.deform_backward import METHODS as _DEFORM_BACKWARD
from convcli.kernels.deform_backward import deform_conv2d_backward
from convcli.kernels.roi_pool import METHODS as _ROI
from convcli.kernels.roi_pool import deform_roi_pool
from convcli.kernels.roi_pool_backward import METHODS as _ROI_BACKWARD
from convcli.kernels.roi_pool_backward import deform_roi_pool_backward
from convcli.kernels.transposed import METHODS as _TRANSPOSED
from convcli.kernels.transposed import conv_transpose
from convcli.kernels.transposed_backward import METHODS as _TRANSPOSED_BACKWARD
from convcli.kernels.transposed_backward import conv_transpose_backward

if TYPE_CHECKING:
    from collections.abc import Mapping

METHODS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "conv": tuple(_CONV),
        "conv_transpose": tuple(_TRANSPOSED),
        "deform_conv2d": tuple(_DEFORM),
        "deform_roi_pool": tuple(_ROI),
        "conv_backward": tuple(_CONV_BACKWARD),
        "conv_transpose_backward": tuple(_TRANSPOSED_BACKWARD),
        "deform_conv2d_backward": tuple(_DEFORM_BACKWARD),
        "deform_roi_pool_backward": tuple(_ROI_BACKWARD),
    }
)

__all__ = [
    "METHODS",
    "ROUNDS",
    "conv",
    "conv_backward",
    "conv_matrix",
    "conv_transpose",
    "conv_transpose_backward",
    "deform_conv2d",
    "deform_conv2d_backward",
    "deform_roi_pool",
    "deform_roi_pool_backward",
]
