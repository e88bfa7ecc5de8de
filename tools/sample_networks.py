"""The files of sample_configs/networks: every convolution of a real network, as torch runs it on the meta device."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
import torchvision
from torch import nn
from torch_counts import CONVS, TRANSPOSED, DeformPack, Fields, counted_macs, expected
from torchvision import models
from torchvision.ops import DeformConv2d

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULTS: Fields = {"stride": 1, "padding": 0, "output_padding": 0, "dilation": 1, "groups": 1}


@dataclass(frozen=True)
class Network:
    """A model and the input it runs on; `share` keeps the layers whose names begin so."""

    about: str
    model: Callable[[], nn.Module]
    input: list[int]
    published_gmacs: float | None = None  # torchvision's weight metadata, `_ops`, for the whole model
    chained: bool = False  # each layer takes the one before it: only the file has an `input`
    share: str = ""


def _dcgan() -> nn.Module:
    channels = [100, 512, 256, 128, 64, 3]
    steps = [(1, 0), (2, 1), (2, 1), (2, 1), (2, 1)]
    layers = [
        nn.ConvTranspose2d(c, o, 4, stride, padding, bias=False)
        for (c, o), (stride, padding) in zip(pairwise(channels), steps, strict=True)
    ]
    return nn.Sequential(OrderedDict(main=nn.Sequential(*layers)))


def _wav2vec2() -> nn.Module:
    steps = [(1, 10, 5), *[(512, 3, 2)] * 4, *[(512, 2, 2)] * 2]
    layers = [nn.Conv1d(channels, 512, kernel, stride, bias=False) for channels, kernel, stride in steps]
    return nn.Sequential(OrderedDict(conv_layers=nn.Sequential(*layers)))


def _deformable_resnet50() -> nn.Module:
    """resnet50 whose 3x3 convolutions of layer2 to layer4 (C3 to C5) are ModulatedDeformConv2dPack."""
    model = models.resnet50()
    for name, module in list(model.named_modules()):
        if name.startswith(("layer2", "layer3", "layer4")) and name.endswith("conv2"):
            conv: Any = module
            deform = DeformConv2d(conv.in_channels, conv.out_channels, 3, conv.stride, conv.padding, bias=False)
            block, _, attribute = name.rpartition(".")
            setattr(model.get_submodule(block), attribute, DeformPack(deform, modulated=True))
    return model


class UNetDecoder(nn.Module):
    """The expanding path of the first U-Net: no padding, so the skip's map is cropped before it is joined."""

    def __init__(self) -> None:
        super().__init__()
        for level, width in enumerate([512, 256, 128, 64], start=1):
            self.add_module(f"up{level}", nn.ConvTranspose2d(2 * width, width, 2, stride=2))
            self.add_module(f"conv{level}a", nn.Conv2d(2 * width, width, 3))
            self.add_module(f"conv{level}b", nn.Conv2d(width, width, 3))
        self.out = nn.Conv2d(64, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 1024, H, W) -> (N, 2, 16*H - 60, 16*W - 60)."""
        for level in range(1, 5):
            x = self.get_submodule(f"up{level}")(x)
            x = torch.cat((x, x), dim=1)  # the skip: as many channels, cropped to the same size
            x = self.get_submodule(f"conv{level}b")(self.get_submodule(f"conv{level}a")(x))
        return self.out(x)


NETWORKS = {
    "resnet50": Network(
        "ResNet-50 (torchvision), 224x224: all of its convolutions.",
        models.resnet50,
        [1, 3, 224, 224],
        published_gmacs=4.089,
    ),
    "resnet50-deformable": Network(
        "ResNet-50 with deformable C3 to C5: the 3x3 convolutions of layer2 to layer4 are modulated packs (DCNv2,\n"
        "one offset group). Their offset convolutions have a bias, as in mmcv, their deformable convolutions none.\n"
        "macs holds the deformable product and the offset convolution; interpolation is not in it.",
        _deformable_resnet50,
        [1, 3, 224, 224],
    ),
    "resnext50_32x4d": Network(
        "ResNeXt-50 32x4d (torchvision), 224x224: all of its convolutions; the 3x3 ones have 32 groups.",
        models.resnext50_32x4d,
        [1, 3, 224, 224],
        published_gmacs=4.23,
    ),
    "mobilenet_v2": Network(
        "MobileNetV2 (torchvision), 224x224: all of its convolutions.",
        models.mobilenet_v2,
        [1, 3, 224, 224],
        published_gmacs=0.301,
    ),
    "vgg16": Network(
        "VGG-16 (torchvision), 224x224: all of its convolutions.",
        models.vgg16,
        [1, 3, 224, 224],
        published_gmacs=15.470,
    ),
    "convnext_tiny": Network(
        "ConvNeXt-T (torchvision), 224x224: all of its convolutions (its pointwise layers are Linear).",
        models.convnext_tiny,
        [1, 3, 224, 224],
        published_gmacs=4.456,
    ),
    "r3d_18": Network(
        "R3D-18 (torchvision), 16 frames of 112x112: all of its convolutions.",
        models.video.r3d_18,
        [1, 3, 16, 112, 112],
        published_gmacs=40.697,
    ),
    "deeplabv3-aspp": Network(
        "DeepLabV3 on ResNet-50 (torchvision), 520x520: the classifier's convolutions, atrous spatial pyramid pooling\n"
        "with dilation 12, 24 and 36 on a map of 65x65, and the layers after it.\n"
        "The published total has the auxiliary head.",
        lambda: models.segmentation.deeplabv3_resnet50(weights_backbone=None, aux_loss=True),
        [1, 3, 520, 520],
        published_gmacs=178.722,
        share="classifier.",
    ),
    "dcgan": Network(
        "DCGAN's generator: 100 numbers to a picture of 64x64.\n"
        "Left out: batch-norm, 2 * (512 + 256 + 128 + 64) parameters.",
        _dcgan,
        [1, 100, 1, 1],
        chained=True,
    ),
    "wav2vec2": Network(
        "wav2vec 2.0's feature extractor: a second of 16 kHz sound becomes 49 frames. Left out: its normalisation.",
        _wav2vec2,
        [1, 1, 16000],
        chained=True,
    ),
    "unet-decoder": Network(
        "The expanding path of the first U-Net (572x572 in, 388x388 out, no padding).",
        UNetDecoder,
        [1, 1024, 28, 28],
    ),
}


def networks(flow: Callable[[Any], str]) -> dict[str, str]:
    """Each network as the text of its file."""
    return {name: _text(name, network, flow) for name, network in NETWORKS.items()}


def _text(name: str, network: Network, flow: Callable[[Any], str]) -> str:
    with torch.device("meta"):
        model = network.model().eval()
        layers = [layer for layer in _run(model, torch.empty(network.input)) if layer["name"].startswith(network.share)]
    lines = [f"# {line}" for line in [*network.about.split("\n"), *_totals(network, model, layers), _author()]]
    lines += [f"name: {name}"]
    if network.chained:
        lines += [f"input: {flow(network.input)}"]
        layers = [{field: value for field, value in layer.items() if field != "input"} for layer in layers]
    return "\n".join([*lines, "layers:", *(f"  - {flow(layer)}" for layer in layers)]) + "\n"


def _author() -> str:
    versions = [module.__version__.partition("+")[0] for module in (torch, torchvision)]
    return f"Written by tools/make_sample_configs.py with torch {versions[0]} and torchvision {versions[1]}."


def _totals(network: Network, model: nn.Module, layers: list[Fields]) -> list[str]:
    params, macs = (sum(layer["expect"][key] for layer in layers) for key in ("params", "macs"))
    lines = [f"{len(layers)} layers, {params:,} parameters, {macs:,} MACs."]
    if network.published_gmacs is not None:
        lines.append(_published(network, model, macs))
    return lines


def _published(network: Network, model: nn.Module, macs: int) -> str:
    """The whole model's MACs, which must be torchvision's published number, and what of them is not in the file."""
    with torch.device("meta"):
        whole = counted_macs(model, torch.empty(network.input))
    if f"{whole / 1e9:.3f}" != f"{network.published_gmacs:.3f}":
        raise ValueError(f"{network.about}: {whole} MACs, torchvision publishes {network.published_gmacs} GMACs")
    rest = "the rest of the network" if network.share else "its Linear layers"
    head = f"torchvision publishes {network.published_gmacs:.3f} GMACs for the whole model: {whole:,},"
    return f"{head} of which {whole - macs:,} are {rest}."


def _run(model: nn.Module, x: torch.Tensor) -> list[Fields]:
    """The model's convolutions in the order in which they run, each as a spec's fields with its `expect`."""
    layers: list[Fields] = []

    def note(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[torch.Tensor, ...], y: torch.Tensor) -> None:
            layers.append(_layer(name, module, list(args[0].shape), list(y.shape)))

        return hook

    inside = tuple(f"{name}." for name, module in model.named_modules() if isinstance(module, DeformPack))
    hooks = [
        module.register_forward_hook(note(name))
        for name, module in model.named_modules()
        if isinstance(module, (*CONVS, *TRANSPOSED, DeformPack)) and not name.startswith(inside)
    ]
    with torch.no_grad():
        model(x)
    for hook in hooks:
        hook.remove()
    return layers


def _layer(name: str, module: nn.Module, x: list[int], y: list[int]) -> Fields:
    conv: Any = module.deform_conv if isinstance(module, DeformPack) else module
    known = (kind for kind in (*CONVS, *TRANSPOSED) if isinstance(module, kind))  # a subclass is its base
    kind = "DeformConv2dPack" if isinstance(module, DeformPack) else next(known).__name__
    fields: Fields = {"name": name, "type": kind, "input": x}
    fields |= {"out_channels": conv.out_channels, "kernel_size": _short(conv.kernel_size)}
    for field, default in DEFAULTS.items():
        value = _short(getattr(conv, field, default))
        if value != default:
            fields[field] = value
    if conv.bias is None:
        fields["bias"] = False
    if isinstance(module, DeformPack):
        fields["modulated"] = module.modulated
    numbers = expected(fields, device="meta")
    params = sum(p.numel() for p in module.parameters())
    if (numbers["output"], numbers["params"]) != (y, params):
        raise ValueError(f"{name}: the layer gives {y} and {params} parameters, its fields {numbers}")
    return fields | {"expect": numbers}


def _short(value: Any) -> Any:
    """(3, 3) as 3, (1, 3, 3) as a list: what one writes."""
    if not isinstance(value, tuple):
        return value
    return value[0] if len(set(value)) == 1 else list(value)
