"""Which sections the explanation of a layer has, by its kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convcli.explaining import companions, conv, counts, deform, fields, roi_pool, transposed
from convcli.explaining.matrix import matrix
from convcli.explaining.products import products
from convcli.explaining.sizes import sizes
from convcli.explaining.taps import taps
from convcli.layers import (
    Composite,
    Conv,
    ConvTranspose,
    DeformConv,
    DeformConvPack,
    DeformRoIPool,
    DeformRoIPoolPack,
    Separable,
)
from convcli.layers.companion import Companion

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.explaining.subject import Section, Subject
    from convcli.layers import Layer


def equation(subject: Subject) -> str:
    """What one output is, with the layer's numbers where there is room for them."""
    layer = subject.layer
    if isinstance(layer, Companion):
        return companions.equation(layer)
    if isinstance(layer, ConvTranspose):
        return transposed.equation(layer, subject.x[0])
    if isinstance(layer, Conv):
        return conv.equation(layer, subject.x[0])
    if isinstance(layer, DeformRoIPool):
        return roi_pool.equation(layer, subject)
    return _composed(layer, [part.name for part in layer.parts(subject.x)])


def _composed(layer: Layer, parts: list[str]) -> str:
    """The parts, each on what the one before it makes, unless they are put together otherwise."""
    if isinstance(layer, DeformConvPack):
        return "y = deform_conv(x, offsets and masks of offset_conv(x))"
    if isinstance(layer, DeformRoIPoolPack):
        mask = " * sigmoid(mask_fc(roi_pool(x, rois)))" if layer.modulated else ""
        return f"y = deform_roi_pool(x, rois, offset_fc(roi_pool(x, rois))){mask}"
    return f"y = {'('.join(reversed(parts))}(x{')' * len(parts)}"


def sections(subject: Subject) -> Iterator[Section]:
    """Sizes, what is the kind's own, parameters, MACs, FLOPs, gradients, bytes, receptive field, pictures."""
    layer = subject.layer
    if isinstance(layer, Companion):
        yield from companions.sections(subject)
    elif isinstance(layer, DeformRoIPool):
        yield from roi_pool.sections(layer, subject)
        yield counts.parameters(subject)
        yield roi_pool.costs(layer, subject)
        yield counts.memory(subject)
    elif isinstance(layer, Composite):
        yield from _composite(subject)
    else:
        yield from sizes(subject)
        yield from conv.groups(subject)
        yield from conv.gaps(subject)
        yield counts.parameters(subject)
        yield from _products(subject)
        yield counts.flops(subject)
        yield from counts.backward(subject)
        yield counts.memory(subject)
    yield from fields.field(subject)
    yield from _pictures(subject)


def _products(subject: Subject) -> Iterator[Section]:
    if isinstance(subject.layer, ConvTranspose):
        yield transposed.products(subject)
        return
    yield products(subject)
    if isinstance(subject.layer, DeformConv):
        yield deform.layout(subject)
        yield deform.sampling(subject)
        yield deform.interpolation(subject)


def _composite(subject: Subject) -> Iterator[Section]:
    """The sums over the parts, which are explained below it."""
    yield counts.parameters(subject)
    yield counts.summed(subject)
    yield counts.flops(subject)
    yield from counts.backward(subject)
    yield counts.memory(subject)
    if isinstance(subject.layer, Separable):
        yield from conv.comparison(subject)
    if isinstance(subject.layer, DeformConvPack):
        yield deform.predicted(subject)


def _pictures(subject: Subject) -> Iterator[Section]:
    layer = subject.layer
    if isinstance(layer, Composite | DeformRoIPool) or not (layer.spatial and layer.rank):
        return
    yield from taps(subject)
    if isinstance(layer, ConvTranspose):
        yield transposed.insertion(subject)
        yield from transposed.phases(subject)
    if isinstance(layer, Conv | ConvTranspose) and not isinstance(layer, DeformConv):
        yield from matrix(subject)
