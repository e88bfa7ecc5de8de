"""Where every cell sees the whole input, and how far a field can be followed."""

from __future__ import annotations

from typing import Any

import pytest

import convcli
from convcli.plan import Plan, plan
from convcli.receptive.record import CellRecord
from convcli.records import ReceptiveField, summarize
from convcli.spec.build import network

CONV = {"type": "Conv2d", "out_channels": 4, "kernel_size": 3, "padding": 1}
BACKBONE = [{**CONV, "name": "stem", "stride": 2}, {**CONV, "name": "body"}]


def planned(*layers: Any, size: tuple[int, ...] = (1, 3, 24, 20)) -> Plan:
    """The plan of a document."""
    return plan(network({"input": list(size), "layers": list(layers)}, "net.yaml"))


def field(*layers: Any, size: tuple[int, ...] = (1, 3, 24, 20)) -> ReceptiveField | None:
    """The last layer's receptive field in the calculator's report; None where it has none."""
    found = summarize(planned(*layers, size=size).network, command="shape").reports[0].layers[-1].receptive_field
    return found if isinstance(found, ReceptiveField) else None


def seen(*layers: Any, **asked: Any) -> CellRecord:
    """What one cell of the last layer sees."""
    (record,) = convcli.receptive_field(planned(*layers), **asked).reports
    return record


ENDS: dict[str, list[Any]] = {
    "flatten": ["Flatten()", "Linear(480, 10)"],
    "reshape": [{"type": "Reshape", "shape": [1, -1]}, "Linear(480, 10)"],
    "mean": [{"type": "Mean", "dims": [2, 3]}, "Linear(4, 10)"],
    "pool": ["AdaptiveAvgPool2d(1)", "Flatten()", "Linear(4, 10)"],
    "maximum": [{"type": "Max", "dims": [2, 3], "keepdim": True}, "Conv2d(4, 4, 1)"],
    "squeeze": [
        "AdaptiveAvgPool2d(1)",
        "Conv2d(4, 4, 1)",
        {"type": "Multiply", "from": ["body", "conv2d_4"]},
    ],
    "attention": [
        {"type": "Flatten", "start_dim": 2},
        {"type": "Permute", "dims": [0, 2, 1]},
        {"type": "MultiheadAttention", "num_heads": 2, "batch_first": True},
    ],
    "residual": [
        {"type": "Flatten", "start_dim": 2},
        {"type": "Permute", "dims": [0, 2, 1], "name": "tokens"},
        {"type": "MultiheadAttention", "num_heads": 2, "batch_first": True, "name": "attended"},
        {"type": "Add", "from": ["tokens", "attended"]},
        {"type": "Rearrange", "shape": [1, 4]},
    ],
    "token": [
        {"type": "Flatten", "start_dim": 2},
        {"type": "Permute", "dims": [0, 2, 1], "name": "tokens"},
        {"type": "Parameter", "shape": [1, 1, 4], "name": "class"},
        {"type": "Concat", "dim": 1, "from": ["class", "tokens"]},
        "LayerNorm(4)",
        {"type": "MultiheadAttention", "num_heads": 1, "batch_first": True},
        "Linear(4, 7)",
    ],
}  # fmt: skip


@pytest.mark.parametrize("end", ENDS)
def test_what_mixes_everything_sees_the_whole_input(end: str) -> None:
    assert field(*BACKBONE, *ENDS[end]) == ReceptiveField((24, 20), (0, 0), (12, 10))
    found = seen(*BACKBONE, *ENDS[end])
    assert (found.cells, found.holes, found.gridding) == (24 * 20, 0, False)
    assert [axis.field for axis in found.axes] == [(0, 23), (0, 19)]


def test_after_it_every_layer_sees_everything() -> None:
    """Even one that moves cells nobody knows where: they all have seen the same."""
    layers = [*BACKBONE, *ENDS["flatten"], {"type": "Rearrange", "shape": [5, 2]}]
    assert field(*layers) == ReceptiveField((24, 20), (0, 0), (12, 10))


@pytest.mark.parametrize(
    "layers",
    [
        [{"type": "Flatten", "start_dim": 2}],
        [{"type": "Reshape", "shape": [1, 4, 4, 30]}],
        [{"type": "Rearrange", "shape": [1, 4, 12, 10]}],
        [{"type": "Unknown", "operation": "nms", "shape": [1, 4, 12, 10]}],
    ],
    ids=["merged", "split", "rearranged", "unknown"],
)
def test_where_it_cannot_be_told_it_is_not_told(layers: list[Any]) -> None:
    assert field(*BACKBONE, *layers) is None
    with pytest.raises(convcli.SpecError, match="cannot be told") as caught:
        seen(*BACKBONE, *layers, {"type": "ReLU"})
    assert layers[0]["type"] in str(caught.value)
    assert caught.value.problems[0].repair == "--layer body"


def test_fields_follow_their_axes() -> None:
    """Channels last for a while, windows of rows: each axis keeps its own field."""
    layers = [
        *BACKBONE,
        {"type": "Permute", "dims": [0, 2, 3, 1]},
        "Linear(4, 8)",
        {"type": "Permute", "dims": [0, 3, 1, 2]},
    ]
    assert field(*layers) == field(*BACKBONE)
    turned = [*BACKBONE, {"type": "Permute", "dims": [0, 1, 3, 2]}, {**CONV, "kernel_size": [1, 3], "padding": [0, 1]}]
    assert field(*turned) == ReceptiveField((11, 7), (2, 2), (0.5, 0.5))  # the width lies on the first axis now
    rows = [*BACKBONE, {"type": "Mean", "dims": [3]}]
    assert field(*rows) == ReceptiveField((7, 20), (2, 0), (0.5, 10))
    assert seen(*rows, at=[3]).cells == 7 * 20


def test_padding_before_anything_counts() -> None:
    """Also without a batch: the first layer that works along axes says which are spatial."""
    expected = ReceptiveField((3, 3), (1, 1), (-0.5, -1.5))
    pad = {"type": "Pad", "padding": [3, 0, 2, 0]}
    assert field(pad, "Conv2d(3, 4, 3)") == expected
    assert field(pad, "Conv2d(3, 4, 3)", size=(3, 24, 20)) == expected


def test_a_learned_tensor_sees_nothing_and_changes_nothing() -> None:
    scale = [{"type": "Parameter", "shape": [4, 1, 1], "name": "scale"}, {"type": "ReLU", "name": "positive"}]
    join = {"type": "Multiply", "from": ["body", "positive"]}
    assert field(*BACKBONE, *scale, join) == field(*BACKBONE)
    assert field(*BACKBONE, *scale) is None
    assert seen(*BACKBONE, *scale).layer == "body"
    with pytest.raises(convcli.SpecError, match="no input reaches"):
        seen(*BACKBONE, *scale, layer="positive")


def test_channels_last_has_its_axes_before_the_channels() -> None:
    top = {"input": [1, 24, 20, 3], "input_layout": "channels_last", "layers": [*BACKBONE, "Identity()"]}
    last = plan(network(top, "net.yaml")).steps[-1]
    assert last.field
    assert [(reach.size, reach.jump, reach.place) for reach in last.field] == [(7, 2, 1), (7, 2, 2)]


def test_too_many_different_fields_are_left_out() -> None:
    """A stride of 5,000 gives 5,000 neighbours their own fields."""
    up = {"type": "ConvTranspose1d", "out_channels": 1, "kernel_size": 3, "stride": 5000}
    assert field(up, size=(1, 1, 9)) is None


def test_resizing_to_a_single_cell() -> None:
    """With aligned corners that is the first one, wherever it is read from."""
    up = {"type": "Upsample", "size": 1, "mode": "bilinear", "align_corners": True}
    assert field(up, {"type": "Upsample", "size": 3}) == ReceptiveField((1, 1), (0, 0), (0.5, 0.5))


@pytest.mark.parametrize("factor", [float("inf"), float("nan"), -1.0])
def test_factors_that_are_no_sizes_are_refused(factor: float) -> None:
    with pytest.raises(convcli.SpecError, match="scale_factor"):
        planned({"type": "Upsample", "scale_factor": factor})
