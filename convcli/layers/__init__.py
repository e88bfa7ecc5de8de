"""The layer kinds: pure integers. A composite kind is one file that names its parts; a primitive states three facts."""

from convcli.layers.base import Counts, Field, Layer, Part, Shape, split_batch
from convcli.layers.composite import Composite
from convcli.layers.conv import Conv
from convcli.layers.deform import DeformConv, DeformConvPack
from convcli.layers.roi_pool import NO_GRADIENT, DeformRoIPool, DeformRoIPoolPack, FullyConnected, OnRoIs
from convcli.layers.separable import Separable
from convcli.layers.transposed import ConvTranspose

KINDS: tuple[type[Layer], ...] = (
    Conv,
    ConvTranspose,
    Separable,
    DeformConv,
    DeformConvPack,
    DeformRoIPool,
    DeformRoIPoolPack,
)


def is_convolution(layer: Layer) -> bool:
    """Whether the layer is one of KINDS; the others are companions."""
    return isinstance(layer, KINDS)


__all__ = [
    "KINDS",
    "NO_GRADIENT",
    "Composite",
    "Conv",
    "ConvTranspose",
    "Counts",
    "DeformConv",
    "DeformConvPack",
    "DeformRoIPool",
    "DeformRoIPoolPack",
    "Field",
    "FullyConnected",
    "Layer",
    "OnRoIs",
    "Part",
    "Separable",
    "Shape",
    "is_convolution",
    "split_batch",
]
