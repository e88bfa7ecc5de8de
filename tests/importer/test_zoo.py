"""torchvision's published parameters and GMACs come out of import and summary, for its whole zoo."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
from zoo_cases import arguments, every_case, gmacs, inputs, weights_of

import convcli
from convcli.importer.zoo import listed

HAS_TORCH = find_spec("torchvision") is not None
QUICK = [
    ("resnet18", "IMAGENET1K_V1"),
    ("mobilenet_v3_small", "IMAGENET1K_V1"),
    ("googlenet", "IMAGENET1K_V1"),
    ("regnet_y_400mf", "IMAGENET1K_V1"),
    ("vit_b_16", "IMAGENET1K_V1"),
    ("swin_v2_t", "IMAGENET1K_V1"),
    ("deeplabv3_mobilenet_v3_large", "COCO_WITH_VOC_LABELS_V1"),
    ("r3d_18", "KINETICS400_V1"),
    ("keypointrcnn_resnet50_fpn", "COCO_V1"),
    ("quantized_shufflenet_v2_x0_5", "IMAGENET1K_FBGEMM_V1"),
]
EVERY = every_case() if HAS_TORCH else []


@pytest.mark.torch
@pytest.mark.parametrize(
    ("name", "weights"), [*QUICK, *(pytest.param(*case, marks=pytest.mark.long) for case in EVERY if case not in QUICK)]
)
def test_the_published_figures_come_out(name: str, weights: str) -> None:
    published = weights_of(name, weights)
    from torchvision.models import get_model_builder

    network = convcli.import_torch(
        get_model_builder(name), *inputs(name, published), partial=True, **arguments(name, published)
    )
    record = convcli.summarize(network).reports[0]
    assert record.totals.params == published.meta["num_params"]
    assert round(gmacs(name, weights, record), 3) == pytest.approx(published.meta["_ops"], abs=1e-9)


@pytest.mark.torch
def test_the_list_is_torchvisions_own() -> None:
    from torchvision.models import get_model_builder, get_model_weights, list_models

    found = {one.name: one for one in listed()}
    assert list(found) == list_models()
    for name, one in found.items():
        builder = get_model_builder(name)
        module, _, function = one.target.partition(":")
        assert builder.__module__.startswith(module)
        assert builder.__name__ == function
        meta = get_model_weights(name).DEFAULT.meta
        assert (one.params, one.gmacs) == (meta["num_params"], meta["_ops"])
