"""A layer at its place, as the rules of other calculators see it: a module of PyTorch with the shapes that pass it.

Those calculators hook or trace a live model. A spec says no more than what is worked out, so here is what is assumed:
a type that PyTorch has a module for is that module, called once per layer; a join is the operator (a + b), `MatMul` the
function torch.matmul; attention is called with need_weights=False, as torchvision and nn.TransformerEncoderLayer do;
the model is in eval mode with gradients switched on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from typing import Any

import msgspec

from convcli.layers import Counts, Layer, Shape
from convcli.plan import Plan, Step


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """A primitive layer: x, y and the other inputs' shapes as PyTorch has them, batch first where there is one.

    module: PyTorch's class, Conv2d, or the operation's name. padding: the word it was written with, "" for numbers.
    params: 0 where the layer shares another's. of: the composite that it is a part of.
    """

    name: str
    module: str
    layer: Layer
    step: Step
    x: Shape
    y: Shape
    inputs: tuple[Shape, ...]
    counts: Counts
    tensors: dict[str, Shape]
    params: int
    padding: str = ""

    @property
    def unbatched(self) -> bool:
        """A layer that works along spatial axes, without the batch axis."""
        return self.layer.spatial and not self.step.batch

    @property
    def reaching(self) -> Shape:
        """x as torch's convolution sees it: padding whose ends differ is a layer before it, but for the word `same`."""
        axes = self.layer.axes
        if self.padding == "same" or all(axis.before == axis.after for axis in axes):
            return self.x
        space = [size + axis.before + axis.after for axis, size in zip(axes, self.x[-len(axes) :], strict=True)]
        return (*self.x[: -len(axes)], *space)

    @property
    def taps(self) -> int:
        """The cells of a kernel."""
        return prod(axis.kernel for axis in self.layer.axes)

    def said(self, name: str, otherwise: Any = None) -> Any:
        """A field that not every kind has."""
        return getattr(self.layer, name, otherwise)


def sites(planned: Plan) -> list[tuple[Step, tuple[Site, ...]]]:
    """Every step with its primitives: itself, or its parts."""
    entries = planned.network.entries
    return [(step, tuple(_sites(step, entry.padding))) for step, entry in zip(planned.steps, entries, strict=True)]


def _sites(step: Step, padding: str) -> Iterator[Site]:
    parts = step.layer.parts(step.x)
    if not parts:
        yield _site(step, step.name, step.layer, step.x, padding)
    for place, part in enumerate(parts):
        word = padding if step.layer.kind == "separable" and not place else ""
        whole = step if part.batch is None else msgspec.structs.replace(step, batch=part.batch)
        yield _site(whole, f"{step.name}.{part.name}", part.layer, part.x, word)


def _site(step: Step, name: str, layer: Layer, x: Shape, padding: str) -> Site:
    tensors = layer.tensors(x)
    full = (*step.batch, *x)
    return Site(
        name=name,
        module=module_of(layer),
        layer=layer,
        step=step,
        x=full,
        y=(*step.batch, *layer.output(x)),
        inputs=getattr(layer, "inputs", ()) or (full,),
        counts=layer.counts(x, step.images),
        tensors=tensors,
        params=0 if step.shares else sum(map(prod, tensors.values())),
        padding=padding,
    )


def module_of(layer: Any) -> str:
    """PyTorch's class that does what the layer does, or the kind's name where there is none."""
    named = NAMED.get(layer.kind)
    return named(layer) if named else NAMES.get(layer.kind, layer.kind)


NAMES = {
    "linear": "Linear",
    "fully_connected": "Linear",
    "deform_roi_pool": "DeformRoIPool",
    "matmul": "torch.matmul",
    "attention": "MultiheadAttention",
    "embedding": "Embedding",
    "group_norm": "GroupNorm",
    "prelu": "PReLU",
    "upsample": "Upsample",
    "pixel_shuffle": "PixelShuffle",
    "flatten": "Flatten",
}
NAMED: dict[str, Callable[[Any], str]] = {
    "conv": lambda layer: f"Conv{layer.rank}d",
    "conv_transpose": lambda layer: f"ConvTranspose{layer.rank}d",
    "deform_conv": lambda layer: f"DeformConv{layer.rank}d",
    "batch_norm": lambda layer: f"{'Instance' if layer.instance else 'Batch'}Norm{layer.rank}d",
    "layer_norm": lambda layer: "RMSNorm" if layer.rms else "LayerNorm2d" if layer.channel_axis else "LayerNorm",
    "pool": lambda layer: f"{layer.function.title()}Pool{layer.rank}d",
    "adaptive_pool": lambda layer: f"Adaptive{layer.function.title()}Pool{layer.rank}d",
    "elementwise": lambda layer: str(layer.function),
    "arithmetic": lambda layer: f"torch.{layer.function}",
    "reduce": lambda layer: f"torch.{layer.function}",
}
