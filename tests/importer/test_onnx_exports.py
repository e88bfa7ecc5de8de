"""Models that torch exports to ONNX: the same products of convolutions and linear layers as imported from torch."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import Any

import pytest

import convcli
from convcli.records import NetworkRecord

pytest.importorskip("onnx")
torch = pytest.importorskip("torch")
import models  # noqa: E402 - it needs torch
from torchvision.models import get_model  # noqa: E402

from convcli.importer.document import text  # noqa: E402
from convcli.importer.onnx.load import onnx_graph  # noqa: E402
from convcli.spec.load import loads  # noqa: E402

pytestmark = pytest.mark.torch
PICTURE = (1, 3, 224, 224)
QUICK = ("squeezenet1_1", "shufflenet_v2_x0_5")
TORCHVISION = (
    "resnet50", "resnext50_32x4d", "mobilenet_v2", "mobilenet_v3_small", "densenet121", "googlenet",
    "shufflenet_v2_x1_0", "efficientnet_b0", "convnext_tiny", "vit_b_16", "swin_t", "regnet_y_400mf", "fcn_resnet50",
    "deeplabv3_mobilenet_v3_large",
)  # fmt: skip


class Grouped(torch.nn.Module):  # type: ignore[misc,name-defined]
    """Grouped, dilated, transposed and strided layers of one, two and three dimensions, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.one = torch.nn.Conv1d(4, 8, 5, stride=2, padding=2, groups=2)
        self.two = torch.nn.ConvTranspose2d(8, 6, 3, stride=2, padding=1, output_padding=1, groups=2, bias=False)
        self.three = torch.nn.Conv3d(6, 4, (1, 1, 3), dilation=(1, 1, 2))
        self.norm = torch.nn.GroupNorm(2, 4)
        self.head = torch.nn.Linear(4, 10)

    def forward(self, x: Any) -> Any:
        x = self.two(self.one(x).unsqueeze(2))
        x = self.norm(self.three(x.unsqueeze(2)))
        return self.head(x.mean((2, 3, 4)))


def exported(model: Any, *shapes: tuple[int, ...]) -> bytes:
    """The ONNX file that torch writes."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        inputs = tuple(torch.zeros(shape) for shape in shapes)
        torch.onnx.export(model.eval(), inputs, file, dynamo=False, opset_version=17)
    return file.getvalue()


def record_of(graph: Any) -> NetworkRecord:
    return convcli.summarize(loads(text(graph).encode(), "model.yaml")).reports[0]


def products(record: NetworkRecord) -> list[int]:
    """The products of every convolution and linear layer, in ascending order."""
    return sorted(layer.macs for layer in record.layers if layer.type.startswith(("Conv", "Linear")) and layer.macs)


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (Grouped, (2, 4, 16)),
        (models.UNet, (2, 3, 16, 16)),
        (models.Shared, (2, 8, 12, 12)),
        *((lambda name=name: get_model(name, weights=None), (1, 3, 64, 64)) for name in QUICK),
    ],
    ids=["Grouped", "UNet", "Shared", *QUICK],
)
def test_an_export_has_the_products_that_torch_has(make: Callable[[], Any], shape: tuple[int, ...]) -> None:
    model = make()
    ours = record_of(onnx_graph(exported(model, shape), "model.onnx"))
    theirs = convcli.summarize(convcli.import_torch(model, shape)).reports[0]
    assert products(ours) == products(theirs)
    assert ours.totals.macs == theirs.totals.macs
    assert ours.totals.complete


@pytest.mark.long
@pytest.mark.parametrize("name", TORCHVISION)
def test_a_torchvision_export_has_the_products_that_torch_has(name: str) -> None:
    told: dict[str, Any] = {"weights": None}
    if "fcn" in name or "deeplab" in name:
        told["weights_backbone"] = None
    if name == "googlenet":
        told["init_weights"] = False  # it warns of how long that takes
    model = get_model(name, **told)
    ours = record_of(onnx_graph(exported(model, PICTURE), "model.onnx"))
    theirs = convcli.summarize(convcli.import_torch(model, PICTURE)).reports[0]
    # attention is one layer with torch, and linear layers and products with ONNX
    assert ours.totals.macs == theirs.totals.macs
    assert name.startswith(("vit", "swin")) or products(ours) == products(theirs)
    assert ours.totals.complete
