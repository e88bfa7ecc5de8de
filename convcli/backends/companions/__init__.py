"""What the layers between convolutions compute, in a few lines of numpy each, in float64: the other side's judge."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from convcli.backends.companions.functions import FREED, FUNCTIONS, STEPS, elementwise, prelu
from convcli.backends.companions.moves import arithmetic, concat, pad, permute, pixel_shuffle, reduced, reshaped
from convcli.backends.companions.norms import batch_norm, group_norm, layer_norm
from convcli.backends.companions.pools import adaptive_pool, pool, upsample
from convcli.backends.companions.products import attention, embedding, linear, matmul
from convcli.backends.companions.values import Values
from convcli.layers import Layer
from convcli.layers.elementwise import Elementwise
from convcli.layers.joins import Arithmetic
from convcli.layers.norm import LayerNorm
from convcli.layers.pool import AdaptivePool, Pool
from convcli.layers.rearrange import Reduce, Upsample

if TYPE_CHECKING:
    from convcli.backends import Arrays

PRODUCTS = frozenset({"linear", "matmul"})
INTERPOLATED = frozenset({"nearest", "linear", "bilinear", "trilinear"})
MOVES = frozenset({"embedding", "concat", "flatten", "reshape", "permute", "pixel_shuffle", "pad"})
REASONS = MappingProxyType(
    {
        "unknown": "nobody knows what it computes",
        "rearrange": "it says where elements go to by a shape alone",
        "parameter": "it computes nothing",
    }
)
VALUES: Mapping[str, Callable[[Any, Arrays], Values]] = MappingProxyType(
    {
        "elementwise": elementwise,
        "prelu": prelu,
        "batch_norm": batch_norm,
        "group_norm": group_norm,
        "layer_norm": layer_norm,
        "pool": pool,
        "adaptive_pool": adaptive_pool,
        "linear": linear,
        "matmul": matmul,
        "attention": attention,
        "embedding": embedding,
        "arithmetic": arithmetic,
        "concat": concat,
        "flatten": reshaped,
        "reshape": reshaped,
        "permute": permute,
        "reduce": reduced,
        "upsample": upsample,
        "pixel_shuffle": pixel_shuffle,
        "pad": pad,
    }
)


def values(layer: Layer, arrays: Arrays) -> Values:
    """y of a layer that is not `untold`, for arrays x, x2, ... and as the layer names its tensors."""
    wide = {name: array.astype(np.float64) for name, array in arrays.items()}
    if isinstance(layer, LayerNorm) and layer.eps is None:  # PyTorch's choice depends on the precision
        layer = msgspec.structs.replace(layer, eps=float(np.finfo(arrays["x"].dtype).eps))
    return VALUES[layer.kind](layer, wide)


def untold(layer: Layer) -> str:
    """Why there are no values to compare; "" when there are."""
    if isinstance(layer, Elementwise) and layer.function not in FUNCTIONS:
        return f"numpy has no word for {layer.function}"
    if isinstance(layer, Upsample) and layer.mode not in INTERPOLATED:
        return f"numpy has no word for mode={layer.mode}"
    return REASONS.get(layer.kind, "" if layer.kind in VALUES else f"numpy has no word for {layer.kind}")


def exact(layer: Layer) -> bool:
    """Whether data of few bits make results that do not round."""
    if isinstance(layer, Elementwise):
        return layer.function in FREED or layer.function in STEPS
    if isinstance(layer, Arithmetic | Pool | AdaptivePool | Reduce):
        return layer.function not in {"div", "avg", "mean"}
    if isinstance(layer, Upsample):
        return layer.mode == "nearest"
    return layer.kind in PRODUCTS | MOVES


def rounds(layer: Layer) -> bool:
    """Whether ordinary floats make results that round."""
    return layer.kind in PRODUCTS or not exact(layer)
