"""torchvision's models as their weights' metadata describe them: the input, and how the published figure came about."""

from __future__ import annotations

from typing import Any, NamedTuple

from convcli.records import NetworkRecord


class Heads(NamedTuple):
    """Layers that run once per box: of as many as `kept` in the published figure, of `most` where all are kept."""

    prefixes: tuple[str, ...]
    kept: int
    most: int


# How many boxes a detector's second stage sees depends on the picture. With the published figure's number of boxes the
# figure comes out to the last digit: no proposal passed the mobilenets' threshold; the first Mask R-CNN and the legacy
# Keypoint R-CNN detected nothing, the newer Keypoint R-CNN one person. (The Faster R-CNNs on resnet50 and the second
# Mask R-CNN had their full 1,000 proposals and 100 detections: they need no entry.)
BOX, MASK = ("roi_heads.box_",), ("roi_heads.mask_",)
KEYPOINTS = ("roi_heads.keypoint_",)
EXCEPTIONS = {
    ("fasterrcnn_mobilenet_v3_large_320_fpn", "COCO_V1"): Heads(BOX, 0, 150),
    ("fasterrcnn_mobilenet_v3_large_fpn", "COCO_V1"): Heads(BOX, 0, 1000),
    ("maskrcnn_resnet50_fpn", "COCO_V1"): Heads(MASK, 0, 100),
    ("keypointrcnn_resnet50_fpn", "COCO_LEGACY"): Heads(KEYPOINTS, 0, 100),
    ("keypointrcnn_resnet50_fpn", "COCO_V1"): Heads(KEYPOINTS, 1, 100),
}


def every_case() -> list[tuple[str, str]]:
    """(model, weights) for everything whose metadata have both figures."""
    from torchvision.models import get_model_weights, list_models

    return [
        (name, weights.name)
        for name in list_models()
        for weights in get_model_weights(name)
        if {"num_params", "_ops"} <= set(weights.meta)
    ]


def weights_of(name: str, weights: str) -> Any:
    from torchvision.models import get_model_weights

    return get_model_weights(name)[weights]


def inputs(name: str, weights: Any) -> list[tuple[int, ...]]:
    """The published figure's shapes: the crop of the weights' transforms; where they crop nothing, what makes it."""
    from torchvision.models import get_model_builder

    module = get_model_builder(name).__module__
    if "optical_flow" in module:
        return [(1, 3, 512, 512)] * 2
    if "detection" in module:
        return [(1, 3, 800, 800)]
    if "segmentation" in module:
        return [(1, 3, 520, 520)]
    crop = weights.transforms().crop_size
    return [(1, 3, 16, *crop)] if "video" in module else [(1, 3, *(crop * 2)[:2])]


def arguments(name: str, weights: Any) -> dict[str, Any]:
    """What the builder is given so that the model is the one of the metadata; no weights are loaded by import."""
    if "unquantized" not in weights.meta:
        return {"weights": weights}
    more = (
        {"aux_logits": True} if name == "quantized_inception_v3" else {}
    )  # they are in its figure, not in its builder
    return {} if not weights.meta["unquantized"] else {"weights": None if more else weights.meta["unquantized"], **more}


def gmacs(name: str, weights: str, record: NetworkRecord) -> float:
    """The products as published: of a detector's second stage those of as many boxes as there were."""
    macs = int(record.totals.macs or 0)
    if heads := EXCEPTIONS.get((name, weights)):
        own = sum(layer.macs or 0 for layer in record.layers if layer.name.startswith(heads.prefixes))
        assert own
        assert own % heads.most == 0
        macs -= own * (heads.most - heads.kept) // heads.most
    return macs / 1e9
