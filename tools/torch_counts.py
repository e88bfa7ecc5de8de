"""What torch says of one layer: its output shape, parameters, multiply-adds and the products that are real.

A layer is a dict with a spec file's own fields (`type`, `input`, `kernel_size`, ...). Shapes and parameters come from
torch and torchvision modules, `macs` from torch's flop counter, `macs_nonpad` and `macs_kept` from all-ones layers in
float64, whose output sums up to the number of products. Nothing here uses convcli, so its answers can be held to these.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode
from torchvision.ops import DeformConv2d, roi_align

if TYPE_CHECKING:
    from collections.abc import Iterator

Fields = dict[str, Any]
Shape = tuple[int, ...]
Pairs = list[tuple[int, int]]

CONVS: tuple[type[nn.Module], ...] = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED: tuple[type[nn.Module], ...] = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
warnings.filterwarnings("ignore", "Using padding='same' with even kernel lengths")  # it is about speed
SLIDING = ("kernel_size", "stride", "padding", "dilation")


class Padded(nn.Module):
    """A convolution of x behind zeros of its own number at each end of each axis."""

    def __init__(self, conv: nn.Module, pairs: Pairs):
        super().__init__()
        self.conv, self.pairs = conv, pairs

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, *in) -> (N, O, *out)."""
        return self.conv(functional.pad(x, _torch_order(self.pairs)))


class Cropped(nn.Module):
    """A transposed convolution's full output, cropped by its own number at each end of each axis."""

    def __init__(self, conv: nn.Module, pairs: Pairs):
        super().__init__()
        self.conv, self.pairs = conv, pairs

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, *in) -> (N, O, *out)."""
        return functional.pad(self.conv(x), _torch_order([(-before, -after) for before, after in self.pairs]))


class DeformPack(nn.Module):
    """mmcv's DeformConv2dPack and ModulatedDeformConv2dPack: an ordinary convolution predicts offsets and masks."""

    def __init__(self, deform: DeformConv2d, *, offset_groups: int = 1, modulated: bool = False):
        super().__init__()
        taps = prod(deform.kernel_size)
        sliding = {field: getattr(deform, field) for field in SLIDING}
        self.offset_conv = nn.Conv2d(deform.in_channels, (3 if modulated else 2) * offset_groups * taps, **sliding)
        self.deform_conv = deform
        self.offset_groups, self.modulated = offset_groups, modulated

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, O, out_h, out_w)."""
        predicted = self.offset_conv(x)
        if not self.modulated:
            return self.deform_conv(x, predicted)
        first, second, mask = predicted.chunk(3, dim=1)
        return self.deform_conv(x, torch.cat((first, second), dim=1), mask.sigmoid())


@dataclass(frozen=True)
class Part:
    """One convolution of a layer with the shape that reaches it."""

    module: nn.Module
    x: Shape

    @property
    def conv(self) -> Any:
        """The convolution itself, out of its padding."""
        return self.module.conv if isinstance(self.module, Padded | Cropped) else self.module

    @property
    def rank(self) -> int:
        """The number of spatial axes."""
        return len(self.conv.kernel_size)

    @property
    def ones(self) -> Tensor:
        """An input of ones, where the weights are."""
        return torch.ones(self.x, dtype=torch.float64, device=self.conv.weight.device)

    @property
    def output(self) -> Shape:
        """The shape that comes out when the layer runs."""
        return tuple(self.module(self.ones).shape)

    @property
    def params(self) -> int:
        """Entries of the tensors that the module owns."""
        return sum(p.numel() for p in self.module.parameters())

    @property
    def batch(self) -> int:
        """N, 1 for an input without the batch axis."""
        return self.x[0] if len(self.x) == self.rank + 2 else 1

    @property
    def weights_per_input(self) -> int:
        """Weights that one input cell (transposed) or one output cell (convolution) meets."""
        return prod(self.conv.weight.shape[1:])

    @property
    def macs(self) -> int:
        """The flop counter's number / 2; refused when the textbook's formula gives something else."""
        counted = counted_macs(self.module, self.ones)
        if isinstance(self.conv, TRANSPOSED):
            formula = self.batch * self.conv.in_channels * prod(self.x[-self.rank :]) * self.weights_per_input
        else:
            formula = self.batch * self.conv.out_channels * prod(self.output[-self.rank :]) * self.weights_per_input
        if counted != formula:
            raise ValueError(f"{self.module} on {self.x}: torch counts {counted} MACs, the formula gives {formula}")
        return counted

    @property
    def real_products(self) -> int:
        """The sum of the output of all-ones input and weights: the products whose cells exist on both sides."""
        for name, tensor in self.module.named_parameters():
            nn.init.constant_(tensor, 0 if name.endswith("bias") else 1)
        return int(self.module(self.ones).sum().item())

    @property
    def zero_insert_macs(self) -> int:
        """A transposed layer's cost as the ordinary convolution over the zero-inserted input that gives its output."""
        conv, out = self.conv, self.output[-self.rank :]
        spans = [d * (k - 1) + 1 for k, d in zip(conv.kernel_size, conv.dilation, strict=True)]
        twin = CONVS[self.rank - 1](
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,
            dilation=conv.dilation,
            groups=conv.groups,
            device="meta",
        )
        inserted = [size + span - 1 for size, span in zip(out, spans, strict=True)]
        return counted_macs(twin, torch.empty((self.batch, conv.in_channels, *inserted), device="meta"))

    @property
    def bias_adds(self) -> int:
        """One per output element of a layer with a bias."""
        return 0 if self.conv.bias is None else prod(self.output)


def counted_macs(module: nn.Module, x: Tensor) -> int:
    """Half of what the flop counter sees in one forward pass."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(x)
    return int(counter.get_total_flops()) // 2


def expected(layer: Fields, *, device: str = "cpu") -> Fields:
    """Everything an `expect` can hold for this layer; on the meta device only output, params and macs."""
    if "RoIPool" in layer["type"]:
        return _pooled_regions(layer)
    parts = list(_parts(layer, device))
    numbers: Fields = {"output": list(parts[-1].output)}
    numbers |= {key: sum(getattr(part, key) for part in parts) for key in ("params", "macs")}
    if "Deform" in layer["type"]:
        _refuse_other_shape(layer, parts[-1].output)
    if device == "meta":
        return numbers
    if "Transpose" in layer["type"]:
        numbers |= {"macs_kept": parts[0].real_products, "macs_zero_insert": parts[0].zero_insert_macs}
    else:  # a deformable layer's at zero offsets; cells that reflect, replicate and circular fill are data
        numbers["macs_nonpad"] = sum(part.real_products for part in parts)
    if "Deform" in layer["type"]:
        numbers |= _sampling(layer, parts[-1])
    numbers["bias_adds"] = sum(part.bias_adds for part in parts)
    numbers["flops"] = 2 * numbers["macs"]
    return numbers


def _pooled_regions(layer: Fields) -> Fields:
    """RoI pooling with a fixed number of samples: torchvision's output, torch's linear layers, else arithmetic."""
    x, regions = layer["input"], layer.get("num_rois", 1)
    size, ratio = layer["output_size"], layer["sampling_ratio"]
    rois = torch.zeros(regions, 5)
    y = roi_align(torch.zeros(x), rois, size, layer.get("spatial_scale", 1.0), ratio, aligned=True)
    bins, channels = prod(y.shape[2:]), y.shape[1]
    linear: list[nn.Linear] = []
    times = 1
    if layer["type"].endswith("Pack"):
        hidden, times = layer["deform_fc_channels"], 2  # pooled without offsets, then with them
        widths = [(hidden, hidden, 2 * bins), *([(hidden, bins)] if "Modulated" in layer["type"] else [])]
        for branch in widths:
            linear += [nn.Linear(*pair) for pair in zip((channels * bins, *branch), branch, strict=False)]
    modulated = layer.get("modulated", "Modulated" in layer["type"])
    macs = sum(counted_macs(one, torch.zeros(regions, one.in_features)) for one in linear)
    return {
        "output": list(y.shape),
        "params": sum(p.numel() for one in linear for p in one.parameters()),
        "macs": macs,
        "macs_nonpad": macs,
        "interpolation_macs": 4 * times * y.numel() * ratio**2,
        "modulation_macs": y.numel() if modulated else 0,
        "coordinate_flops": 10 * times * regions * bins * ratio**2,
        "bias_adds": regions * sum(one.out_features for one in linear),
        "flops": 2 * macs,
    }


def deform_module(layer: Fields, device: str) -> nn.Module:
    """A deformable layer as torchvision's own module."""
    names = (*SLIDING, "groups", "bias")
    keywords = {field: layer[field] for field in names if field in layer}
    with torch.device(device):
        deform = DeformConv2d(layer["input"][-3], layer["out_channels"], **keywords)
        if not layer["type"].endswith("Pack"):
            return deform
        return DeformPack(deform, offset_groups=layer.get("offset_groups", 1), modulated=layer.get("modulated", False))


def _parts(layer: Fields, device: str) -> Iterator[Part]:
    """The convolutions that a layer is made of, in order."""
    rank = _rank(layer)
    x, channels = tuple(layer["input"]), layer["input"][-rank - 1]
    if layer.get("in_channels", channels) != channels:
        raise ValueError(f"{layer}: the input has {channels} channels")
    sliding = {field: layer[field] for field in (*SLIDING, "padding_mode") if field in layer}
    bias = layer.get("bias", True)
    if "Depthwise" in layer["type"]:
        out = channels * layer.get("depth_multiplier", 1)
        yield _conv_part(x, out, sliding | {"groups": channels, "bias": bias}, rank, device)
    elif "Separable" in layer["type"]:
        out = channels * layer.get("depth_multiplier", 1)
        depthwise = _conv_part(x, out, sliding | {"groups": channels, "bias": bias}, rank, device)
        yield depthwise
        pointwise = {"kernel_size": 1, "bias": layer.get("pointwise_bias", bias)}
        yield _conv_part(depthwise.output, layer["out_channels"], pointwise, rank, device)
    elif "Transpose" in layer["type"]:
        yield _transposed_part(x, layer, device)
    else:
        if layer["type"].endswith("Pack"):
            pack = deform_module(layer, device)
            yield Part(pack.offset_conv.double(), x)
        grouped = {"groups": layer.get("groups", 1), "bias": bias}
        yield _conv_part(x, layer["out_channels"], sliding | grouped, rank, device)


def _conv_part(x: Shape, out_channels: int, keywords: Fields, rank: int, device: str) -> Part:
    pairs = _padding_pairs(keywords, x[-rank:])
    if pairs is not None:
        keywords = {field: value for field, value in keywords.items() if field != "padding"}
    conv = CONVS[rank - 1](x[-rank - 1], out_channels, **_tuples(keywords), device=device, dtype=torch.float64)
    return Part(conv if pairs is None else Padded(conv, pairs), x)


def _transposed_part(x: Shape, layer: Fields, device: str) -> Part:
    rank = _rank(layer)
    names = ("kernel_size", "stride", "padding", "output_padding", "groups", "bias", "dilation")
    keywords = _tuples({field: layer[field] for field in names if field in layer})
    pairs = _transposed_crops(layer, x[-rank:])
    if pairs is not None:
        del keywords["padding"]
        keywords.pop("output_padding", None)
    conv = TRANSPOSED[rank - 1](x[-rank - 1], layer["out_channels"], **keywords, device=device, dtype=torch.float64)
    return Part(conv if pairs is None else Cropped(conv, pairs), x)


def _padding_pairs(keywords: Fields, sizes: Shape) -> Pairs | None:
    """(before, after) per axis for the paddings that torch's own argument cannot say, else None."""
    padding = keywords.get("padding", 0)
    if isinstance(padding, list) and isinstance(padding[0], list):
        return [(before, after) for before, after in padding]
    if padding not in ("same_upper", "same_lower"):
        return None
    totals = [
        max((-(-size // s) - 1) * s + d * (k - 1) + 1 - size, 0)
        for size, k, s, d in zip(sizes, *_per_axis(keywords, len(sizes)), strict=True)
    ]
    return [_halves(total, padding) for total in totals]


def _transposed_crops(layer: Fields, sizes: Shape) -> Pairs | None:
    """What is cut from a transposed layer's full output when torch's own argument cannot say it, else None."""
    padding, extra = layer.get("padding", 0), layer.get("output_padding", 0)
    if isinstance(padding, list) and isinstance(padding[0], list):
        return [(before, after - extra) for before, after in padding]
    if not isinstance(padding, str):
        return None
    kernels, strides, dilations = _per_axis(layer, len(sizes))
    totals = [d * (k - 1) + 1 - s + extra for k, s, d in zip(kernels, strides, dilations, strict=True)]
    return [(before, after - extra) for before, after in (_halves(total, padding) for total in totals)]


def _halves(total: int, word: str) -> tuple[int, int]:
    small, large = total // 2, total - total // 2
    return (small, large) if word == "same_upper" else (large, small)


def _sampling(layer: Fields, deform: Part) -> Fields:
    """The costs of a deformable layer that no convolution has (by hand: torch counts none of them)."""
    positions = deform.batch * prod(deform.conv.kernel_size) * prod(deform.output[-2:])
    samples = positions * deform.conv.in_channels
    numbers = {"interpolation_macs": 4 * samples}
    if layer.get("modulated"):
        numbers["modulation_macs"] = samples
    return numbers | {"coordinate_flops": 10 * layer.get("offset_groups", 1) * positions}


def _refuse_other_shape(layer: Fields, output: Shape) -> None:
    """A deformable layer must give the shape of the convolution that its products are counted by."""
    module, x = deform_module(layer, "meta"), torch.empty(layer["input"], device="meta")
    if isinstance(module, DeformPack):
        found = tuple(module(x).shape)
    else:
        taps = layer.get("offset_groups", 1) * prod(module.kernel_size)
        offset = torch.empty((x.shape[0], 2 * taps, *output[-2:]), device="meta")
        mask = torch.empty((x.shape[0], taps, *output[-2:]), device="meta") if layer.get("modulated") else None
        found = tuple(module(x, offset, mask).shape)
    if found != output:
        raise ValueError(f"{layer}: torchvision gives {found}, a convolution {output}")


def _per_axis(fields: Fields, rank: int) -> list[list[int]]:
    values = [fields.get(field, 1) for field in ("kernel_size", "stride", "dilation")]
    return [[value] * rank if isinstance(value, int) else list(value) for value in values]


def _tuples(keywords: Fields) -> Fields:
    return {field: tuple(value) if isinstance(value, list) else value for field, value in keywords.items()}


def _torch_order(pairs: Pairs) -> list[int]:
    """functional.pad's order: the last axis first."""
    return [cells for pair in reversed(pairs) for cells in pair]


def _rank(layer: Fields) -> int:
    """Conv2d, DeformConv2dPack: the digit before the d."""
    return int(next(letter for letter in layer["type"] if letter.isdigit()))
