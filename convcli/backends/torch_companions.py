"""PyTorch's own modules and functions for the layers between convolutions.

Beside backends/torch.py the only module that imports torch; only worker processes import it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import reduce
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.nn.functional as F  # noqa: N812 - as all of PyTorch's users write it
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from convcli.backends import Facts, Unsupported
from convcli.backends.torch_tensors import array_of, refusals, tensor_of
from convcli.layers import Layer, Shape
from convcli.layers.elementwise import Elementwise
from convcli.layers.joins import Arithmetic
from convcli.layers.linear import Linear, MatMul, MultiheadAttention
from convcli.layers.norm import BatchNorm, GroupNorm, LayerNorm
from convcli.layers.pool import AdaptivePool, Pool
from convcli.layers.rearrange import Pad, Reduce, Upsample

if TYPE_CHECKING:
    from convcli.backends import Array, Arrays

Run = Any  # a module, or a function of the inputs
FUNCTIONS: Mapping[str, Run] = MappingProxyType(
    {
        name: getattr(torch, name.lower())
        for name in ("Exp", "Log", "Sqrt", "Rsqrt", "Reciprocal", "Neg", "Abs", "Erf", "Sin", "Cos", "Floor")
    }
)
TWO: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = MappingProxyType(
    {
        "add": torch.add,
        "sub": torch.sub,
        "mul": torch.mul,
        "div": torch.div,
        "max": torch.maximum,
        "min": torch.minimum,
    }
)
PAD_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "replicate", "circular": "circular"}


def facts(layer: Layer, shapes: tuple[Shape, ...]) -> Facts:
    """Output, parameters and the macs that torch counts, for inputs of these shapes; no element is touched."""
    run = made(layer)
    run = run.eval() if isinstance(run, nn.Module) else run
    with torch.no_grad(), FlopCounterMode(display=False) as counter, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch advises where softmax is not told its axis
        y = run(*_indices(layer, [torch.empty(shape, device="meta") for shape in shapes]))
    named = run.named_parameters() if isinstance(run, nn.Module) else ()
    return Facts(tuple(y.shape), {name: tuple(t.shape) for name, t in named}, counter.get_total_flops() // 2)


def forward(layer: Layer, arrays: Arrays, dtype: str = "") -> Array:
    """y of `layer` in inference for inputs x, x2, ..., its parameters and running statistics by PyTorch's names."""
    tensors = {name: tensor_of(array, dtype) for name, array in arrays.items()}
    inputs = [tensors.pop(name) for name in ("x", *layer.side_inputs(())) if name in tensors]
    run = made(layer)
    if isinstance(run, nn.Module):
        run.load_state_dict(tensors, assign=True, strict=False)  # how many batches were seen changes nothing
        run = run.eval()
    with refusals(), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return array_of(run(*_indices(layer, inputs)))


def made(layer: Layer) -> Run:
    """The layer as PyTorch has it: a module, its parameters not yet there, or a function. Raises Unsupported."""
    make = MAKE.get(layer.kind)
    if make is None:
        raise Unsupported(f"PyTorch has no module for {layer.kind}")
    with torch.device("meta"):
        return make(layer)


def _indices(layer: Layer, inputs: list[Tensor]) -> list[Tensor]:
    return [x.long() for x in inputs] if layer.kind == "embedding" else inputs


def _elementwise(layer: Elementwise) -> Run:
    options = cast("dict[str, Any]", dict(layer.options))
    if layer.function in FUNCTIONS:
        return FUNCTIONS[layer.function]
    if layer.function == "StochasticDepth":
        from torchvision.ops import StochasticDepth

        return StochasticDepth(options["p"], options.get("mode", "row")).eval()
    module = getattr(nn, layer.function, None)
    if module is None:
        raise Unsupported(f"PyTorch has no module {layer.function}")
    return module(**options)


def _batch_norm(layer: BatchNorm) -> Run:
    family = "InstanceNorm" if layer.instance else "BatchNorm"
    own = {} if layer.bias else {"bias": False}  # a word that older versions do not know
    module = getattr(nn, f"{family}{layer.dims}d")
    return module(layer.num_features, eps=layer.eps, affine=layer.affine, **own)


def _group_norm(layer: GroupNorm) -> Run:
    own = {} if layer.bias else {"bias": False}
    return nn.GroupNorm(layer.num_groups, layer.num_channels or 0, eps=layer.eps, affine=layer.affine, **own)


def _layer_norm(layer: LayerNorm) -> Run:
    shape = list(layer.normalized_shape or ())
    if layer.rms:
        return nn.RMSNorm(shape, eps=layer.eps, elementwise_affine=layer.affine)
    if layer.channel_axis:
        from torchvision.models.convnext import LayerNorm2d
    eps = 1e-5 if layer.eps is None else layer.eps
    return (LayerNorm2d if layer.channel_axis else nn.LayerNorm)(
        shape, eps=eps, elementwise_affine=layer.affine, bias=layer.bias
    )


def _pool(layer: Pool) -> Run:
    kernel, stride, padding, dilation = (
        tuple(getattr(axis, name) for axis in layer.axes) for name in ("kernel", "stride", "before", "dilation")
    )
    said: dict[str, Any] = {"stride": stride, "padding": padding, "ceil_mode": layer.ceil_mode}
    if layer.function == "max":
        return getattr(nn, f"MaxPool{len(kernel)}d")(kernel, dilation=dilation, **said)
    if len(kernel) > 1:
        said["divisor_override"] = layer.divisor_override
    module = getattr(nn, f"AvgPool{len(kernel)}d")
    return module(kernel, count_include_pad=layer.count_include_pad, **said)


def _adaptive_pool(layer: AdaptivePool) -> Run:
    size: Any = layer.output_size
    module = getattr(nn, f"Adaptive{layer.function.title()}Pool{len(size)}d")
    return module(size if len(size) > 1 else size[0])


def _linear(layer: Linear) -> Run:
    return nn.Linear(layer.in_features or 0, layer.out_features, bias=layer.bias)


def _matmul(layer: MatMul) -> Run:
    return lambda a, b: torch.matmul(a, b.transpose(-1, -2) if layer.transpose_b else b)


def _attention(layer: MultiheadAttention) -> Run:
    width = layer.embed_dim or 0
    return _Attention(
        width, layer.num_heads, bias=layer.bias, kdim=layer.kdim, vdim=layer.vdim, batch_first=layer.batch_first
    )


class _Attention(nn.MultiheadAttention):  # type: ignore[misc]
    """One input is query, key and value; the weights are asked for, so that the counter sees every product."""

    def forward(self, *inputs: Tensor) -> Tensor:
        query, key, value = inputs * 3 if len(inputs) == 1 else inputs
        return cast("Tensor", super().forward(query, key, value, need_weights=True)[0])


def _arithmetic(layer: Arithmetic) -> Run:
    return lambda *inputs: reduce(TWO[layer.function], inputs)


def _reduce(layer: Reduce) -> Run:
    functions: dict[str, Run] = {"mean": torch.mean, "sum": torch.sum, "max": torch.amax, "min": torch.amin}
    return lambda x: functions[layer.function](x, dim=layer.dims, keepdim=layer.keepdim)


def _upsample(layer: Upsample) -> Run:
    size, scale = layer.size, layer.scale_factor
    return nn.Upsample(size, scale, mode=layer.mode, align_corners=layer.align_corners)


def _pad(layer: Pad) -> Run:
    value = {"value": layer.value} if layer.mode == "zeros" else {}
    return lambda x: F.pad(x, list(layer.padding), PAD_MODES[layer.mode], **value)


MAKE: Mapping[str, Callable[[Any], Run]] = MappingProxyType(
    {
        "elementwise": _elementwise,
        "prelu": lambda layer: nn.PReLU(layer.num_parameters),
        "batch_norm": _batch_norm,
        "group_norm": _group_norm,
        "layer_norm": _layer_norm,
        "pool": _pool,
        "adaptive_pool": _adaptive_pool,
        "linear": _linear,
        "matmul": _matmul,
        "attention": _attention,
        "embedding": lambda layer: nn.Embedding(layer.num_embeddings, layer.embedding_dim),
        "arithmetic": _arithmetic,
        "concat": lambda layer: lambda *inputs: torch.cat(inputs, layer.dim),
        "flatten": lambda layer: nn.Flatten(layer.start_dim, layer.end_dim),
        "reshape": lambda layer: lambda x: x.reshape(layer.shape),
        "permute": lambda layer: lambda x: x.permute(layer.dims),
        "reduce": _reduce,
        "upsample": _upsample,
        "pixel_shuffle": lambda layer: nn.PixelShuffle(layer.upscale_factor),
        "pad": _pad,
    }
)
