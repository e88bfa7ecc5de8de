"""A channels_last spec is the channels_first one with the channels at the end: every layer gives the same numbers."""

from __future__ import annotations

from typing import Any

import pytest

from convcli.plan import plan
from convcli.spec.build import network

LAYERS: list[dict[str, Any]] = [
    {"type": "Conv2d", "out_channels": 8, "kernel_size": 3},
    {"type": "MaxPool2d", "kernel_size": 3, "stride": 2, "ceil_mode": True},
    {"type": "AvgPool2d", "kernel_size": [2, 3]},
    {"type": "AdaptiveAvgPool2d", "output_size": [3, None]},
    {"type": "BatchNorm2d"},
    {"type": "InstanceNorm2d", "affine": True},
    {"type": "GroupNorm", "num_groups": 2},
    {"type": "PReLU", "num_parameters": 4},
    {"type": "ReLU"},
    {"type": "Upsample", "scale_factor": [2, 3]},
    {"type": "PixelShuffle", "upscale_factor": 2},
    {"type": "ZeroPad2d", "padding": [1, 2, 3, -1]},
    {"type": "ReflectionPad2d", "padding": [1, 2, 3, 0]},
    {"type": "Concat", "from": ["input", "input"]},
    {"type": "Add", "from": ["input", "input"]},
    {"type": "Dropout2d"},
]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer["type"])
def test_the_numbers_are_those_of_channels_first(layer: dict[str, Any]) -> None:
    (first,) = plan(network({"layers": [layer], "input": [2, 4, 11, 9]}, "")).steps
    (last,) = plan(network({"layers": [layer], "input": [2, 11, 9, 4], "input_layout": "channels_last"}, "")).steps
    n, c, *space = first.shown(first.y)
    assert last.shown(last.y) == (n, *space, c)
    assert last.layer.tensors(last.x) == first.layer.tensors(first.x)
    assert last.layer.counts(last.x, last.images) == first.layer.counts(first.x, first.images)
    assert [(one.size, one.jump) for one in last.field or ()] == [(one.size, one.jump) for one in first.field or ()]


def test_linear_layers_work_along_the_channels() -> None:
    """Whose axis is the last one there, as for Dense in Keras."""
    (step,) = plan(
        network({"layers": ["Linear(4, 7)"], "input": [2, 11, 9, 4], "input_layout": "channels_last"}, "")
    ).steps
    assert step.shown(step.y) == (2, 11, 9, 7)
