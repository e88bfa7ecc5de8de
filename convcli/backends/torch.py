"""PyTorch and torchvision as a backend: its own modules and functions where they exist, so that the formula is theirs.

Its modules are the only ones that import torch; only worker processes import them. `companions` are the layers between
convolutions.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.nn.functional as F  # noqa: N812 - as all of PyTorch's users write it
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from convcli.backends import Facts, Unsupported, torch_companions, torch_regions
from convcli.backends.torch_tensors import array_of, refusals, tensor_of
from convcli.layers import NO_GRADIENT, Conv, ConvTranspose, DeformConv, DeformConvPack, Layer, Separable, Shape

if TYPE_CHECKING:
    from convcli.backends import Array, Arrays

CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "replicate", "circular": "circular"}
INPUTS = frozenset({"x", "rois", "offset", "mask"})
FORMATS = frozenset({"bfloat16"})
companions = torch_companions

try:
    import torchvision.ops as _found

    vision: ModuleType | None = _found
    vision_reason = ""
except Exception as error:  # a torchvision of another torch fails in many ways; all mean the same
    vision = None
    vision_reason = f"torchvision is not usable: {type(error).__name__}: {error}"


def versions() -> dict[str, str]:
    """torch's and torchvision's versions."""
    found = {"torch": str(torch.__version__)}
    if vision is None:
        return {**found, "torchvision": vision_reason}
    import torchvision

    return {**found, "torchvision": str(torchvision.__version__)}


def set_threads(threads: int) -> None:
    """How many threads one operation may use."""
    torch.set_num_threads(threads)


def forward(layer: Layer, arrays: Arrays, dtype: str = "") -> Array:
    """y of `layer`: its module with these parameters, run on these inputs, in one of FORMATS or the arrays' dtype."""
    with torch.no_grad():
        y, _ = _output(layer, arrays, dtype)
    return array_of(y)


def backward(layer: Layer, arrays: Arrays, dy: Array, dtype: str = "") -> dict[str, Array]:
    """The gradient of every array, by autograd."""
    with refusals():
        y, leaves = _output(layer, arrays, dtype)
        found = torch.autograd.grad(y, list(leaves.values()), tensor_of(dy, dtype), materialize_grads=True)
    return {name: array_of(gradient) for name, gradient in zip(leaves, found, strict=True)}


def prepared(layer: Layer, arrays: Arrays, dy: Array | None = None) -> Callable[[], object]:
    """The layer as a call without arguments, its module built once; with dy, of its gradients alone."""
    if dy is not None:
        y, leaves = _output(layer, arrays, "")
        seed = torch.from_numpy(dy)
        return lambda: torch.autograd.grad(y, list(leaves.values()), seed, retain_graph=True)
    _, x = layer.split(tuple(arrays["x"].shape))
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    inputs = {name: tensors.pop(name) for name in INPUTS & set(tensors)}
    network = module(layer, x)
    network.load_state_dict(tensors, assign=True)

    def run() -> Tensor:
        with torch.inference_mode():
            return RUN[layer.kind](layer, network, inputs)

    return run


def _output(layer: Layer, arrays: Arrays, dtype: str) -> tuple[Tensor, dict[str, Tensor]]:
    """(y, the inputs and parameters that it depends on)"""
    tensors = {name: tensor_of(array, dtype) for name, array in arrays.items()}
    inputs = {name: tensors.pop(name) for name in INPUTS & set(tensors)}
    free = {name: tensor.requires_grad_() for name, tensor in inputs.items() if name not in NO_GRADIENT}
    _, x = layer.split(tuple(inputs["x"].shape))
    network = _kept(layer, x)
    with refusals():
        network.load_state_dict(tensors, assign=True)
        leaves: dict[str, Tensor] = {**free, **dict(network.named_parameters())}
        return RUN[layer.kind](layer, network, inputs), leaves


def facts(layer: Layer, shape: Shape) -> Facts:
    """From the module on the meta device, which has no elements: a layer of any size costs nothing.

    The meta device accepts illegal layers: the facts say nothing of what is legal. The counter knows no deformable
    convolution: such a layer's own products are not in `macs`.
    """
    batch, x = layer.split(shape)
    network = module(layer, x)
    inputs = {"x": shape, **{name: (*batch, *side) for name, side in layer.side_inputs(x).items()}}
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        y = RUN[layer.kind](layer, network, {name: torch.empty(size, device="meta") for name, size in inputs.items()})
    tensors = {name: tuple(tensor.shape) for name, tensor in network.named_parameters()}
    return Facts(tuple(y.shape), tensors, counter.get_total_flops() // 2)


def accepts(type_: str, fields: Mapping[str, Any], shapes: Mapping[str, Shape]) -> Shape:
    """The output's shape of a module in its own words, run on real zeros; what is illegal raises. No meta device."""
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    owner = _vision() if type_.startswith("DeformConv") else nn
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # layers without elements are initialised with a warning
        return tuple(getattr(owner, type_)(**given)(*map(torch.zeros, shapes.values())).shape)


def module(layer: Layer, x: Shape) -> nn.Module:
    """The layer as PyTorch's own module, its parameters not yet there."""
    return MODULES[layer.kind](layer, x)


_kept = lru_cache(maxsize=64)(module)  # a tiny layer costs less than its module, and is run some ten times


def _conv_module(layer: Conv, x: Shape) -> nn.Module:
    return CONVS[len(layer.axes) - 1](
        x[0],
        layer.out_channels or 0,
        _each(layer, "kernel"),
        stride=_each(layer, "stride"),
        padding=_own_padding(layer),
        dilation=_each(layer, "dilation"),
        groups=layer.groups or 1,
        bias=layer.bias,
        padding_mode=layer.padding_mode,
        device="meta",
    )


def _transposed_module(layer: ConvTranspose, x: Shape) -> nn.Module:
    plain = _symmetric(layer)
    return TRANSPOSED[len(layer.axes) - 1](
        x[0],
        layer.out_channels,
        _each(layer, "kernel"),
        stride=_each(layer, "stride"),
        padding=_each(layer, "before") if plain else 0,
        output_padding=_each(layer, "output_padding") if plain else 0,
        dilation=_each(layer, "dilation"),
        groups=layer.groups,
        bias=layer.bias,
        device="meta",
    )


def _deform_module(layer: DeformConv, x: Shape) -> nn.Module:
    if min(min(axis.before, axis.after) for axis in layer.axes) < 0:
        raise Unsupported("torchvision's deform_conv2d takes no negative padding")
    made = _vision().DeformConv2d(
        x[0],
        layer.out_channels,
        _each(layer, "kernel"),
        stride=_each(layer, "stride"),
        padding=_each(layer, "before") if _symmetric(layer) else 0,
        dilation=_each(layer, "dilation"),
        groups=layer.groups,
        bias=layer.bias,
    )
    return cast("nn.Module", made.to("meta"))


def _parts_module(layer: Separable | DeformConvPack, x: Shape) -> nn.Module:
    return nn.ModuleDict({part.name: module(part.layer, part.x) for part in layer.parts(x)})


def _run_conv(layer: Conv, network: nn.Module, inputs: Mapping[str, Tensor]) -> Tensor:
    x = inputs["x"]
    if _own_padding(layer) == 0:
        x = F.pad(x, _pairs((axis.before, axis.after) for axis in layer.axes), MODES[layer.padding_mode])
    return cast("Tensor", network(x))


def _run_transposed(layer: ConvTranspose, network: nn.Module, inputs: Mapping[str, Tensor]) -> Tensor:
    if _symmetric(layer):
        return cast("Tensor", network(inputs["x"]))
    bias, network.bias = network.bias, None
    full = network(inputs["x"])
    network.bias = bias
    y = F.pad(full, _pairs((-axis.before, axis.output_padding - axis.after) for axis in layer.axes))
    return y if bias is None else y + bias.view(-1, *(1,) * len(layer.axes))


def _run_deform(layer: DeformConv, network: nn.Module, inputs: Mapping[str, Tensor]) -> Tensor:
    batched = inputs["x"].dim() == len(layer.axes) + 2
    x, offset, mask = (
        tensor if tensor is None or batched else tensor[None]
        for tensor in (inputs["x"], inputs["offset"], inputs.get("mask"))
    )
    if not _symmetric(layer):  # zeros around the input are what a sample outside it sees
        x = F.pad(cast("Tensor", x), _pairs((axis.before, axis.after) for axis in layer.axes))
    y = network(x, offset, mask)
    return cast("Tensor", y if batched else y[0])


def _run_separable(layer: Separable, network: nn.Module, inputs: Mapping[str, Tensor]) -> Tensor:
    y = inputs["x"]
    for part in layer.parts(_image_shape(layer, y)):
        y = RUN[part.layer.kind](part.layer, network.get_submodule(part.name), {"x": y})
    return y


def _run_pack(layer: DeformConvPack, network: nn.Module, inputs: Mapping[str, Tensor]) -> Tensor:
    predictor, deform = layer.parts(_image_shape(layer, inputs["x"]))
    y = RUN[predictor.layer.kind](predictor.layer, network.get_submodule(predictor.name), inputs)
    side = {"offset": y}
    if layer.modulated:
        down, right, logits = torch.chunk(y, 3, dim=-1 - len(layer.axes))
        side = {"offset": torch.cat((down, right), dim=-1 - len(layer.axes)), "mask": torch.sigmoid(logits)}
    return RUN[deform.layer.kind](deform.layer, network.get_submodule(deform.name), {**inputs, **side})


def _vision() -> Any:
    if vision is None:
        raise Unsupported(vision_reason)
    return vision


def _own_padding(layer: Conv) -> str | tuple[int, ...] | int:
    """The padding that nn.Conv does itself: a number per axis, or "same"; 0 when F.pad has to come first."""
    if _symmetric(layer):
        return _each(layer, "before")
    return "same" if all(axis.is_same for axis in layer.axes) else 0


def _symmetric(layer: Layer) -> bool:
    return all(axis.before == axis.after >= 0 for axis in layer.axes)


def _each(layer: Layer, field: str) -> tuple[int, ...]:
    return tuple(getattr(axis, field) for axis in layer.axes)


def _pairs(pairs: Any) -> list[int]:
    """As F.pad wants them: last axis first."""
    return list(itertools.chain.from_iterable(reversed(list(pairs))))


def _image_shape(layer: Layer, x: Tensor) -> Shape:
    return tuple(x.shape[-1 - len(layer.axes) :])


MODULES: Mapping[str, Callable[[Any, Shape], nn.Module]] = MappingProxyType(
    {
        "conv": _conv_module,
        "conv_transpose": _transposed_module,
        "separable": _parts_module,
        "deform_conv": _deform_module,
        "deform_conv_pack": _parts_module,
        "deform_roi_pool": torch_regions.pool_module,
        "deform_roi_pool_pack": torch_regions.pack_module,
        "fully_connected": torch_regions.linear_module,
    }
)
RUN: Mapping[str, Callable[[Any, nn.Module, Mapping[str, Tensor]], Tensor]] = MappingProxyType(
    {
        "conv": _run_conv,
        "conv_transpose": _run_transposed,
        "separable": _run_separable,
        "deform_conv": _run_deform,
        "deform_conv_pack": _run_pack,
        "deform_roi_pool": torch_regions.run_pool(_vision),
        "deform_roi_pool_pack": torch_regions.run_pack(_vision),
        "fully_connected": torch_regions.run_linear,
    }
)
