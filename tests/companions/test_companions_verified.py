"""`verify` on the layers between convolutions: wrong ones are caught, what nobody can tell is skipped."""

from __future__ import annotations

import json
from typing import Any

import pytest

from convcli.plan import Plan, plan
from convcli.spec.build import network, spelled_network
from convcli.verifier.repro import spelled
from convcli.verifier.run import verify
from convcli.verifier.verdict import Status

LAYERS: list[Any] = [
    {"name": "pool", "type": "MaxPool2d", "kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
    {"name": "mean", "type": "AvgPool2d", "kernel_size": 2, "count_include_pad": False, "padding": 1},
    {"name": "norm", "type": "BatchNorm2d"},
    {"name": "groups", "type": "GroupNorm", "num_groups": 2},
    {"name": "relu", "type": "ReLU"},
    {"name": "gelu", "type": "GELU"},
    {"name": "up", "type": "Upsample", "scale_factor": 2},
    {"name": "add", "type": "Add", "from": ["up", "up"]},
    {"name": "cat", "type": "Concat", "from": ["up", "add"]},
    {"name": "flat", "type": "Flatten", "start_dim": 2},
    {"name": "swap", "type": "Permute", "dims": [0, 2, 1]},
    {"name": "last", "type": "LayerNorm"},
    {"name": "heads", "type": "MultiheadAttention", "num_heads": 2, "batch_first": True},
    {"name": "shares", "type": "Softmax", "dim": -1},
    {"name": "product", "type": "MatMul", "from": ["flat", "swap"]},
    {"name": "linear", "type": "Linear", "out_features": 5, "from": "swap"},
    {"name": "linear again", "shares": "linear", "from": "swap"},
]


def planned(layers: list[Any] | None = None) -> Plan:
    return plan(network({"layers": LAYERS if layers is None else layers, "input": [2, 4, 11, 13]}, ""))


def statuses(against: str, *only: str, **options: Any) -> dict[str, Status]:
    """Each layer's status."""
    outcome = verify(planned(), against=f"companion_fakes:{against}", only=only, explain=False, **options)
    return {layer.name: layer.status for layer in outcome.layers}


def test_right_ones_pass_and_twins_are_checked_once() -> None:
    outcome = verify(planned(), against="companion_fakes:faithful")
    assert outcome.exit_code == 0
    assert {layer.status for layer in outcome.layers} == {Status.PASSED}
    assert outcome.layers[-1].reason == "the same layer, and so the same data, as linear: checked once"


@pytest.mark.parametrize(
    ("fake", "layers"),
    [
        ("last_off", "pool mean norm linear gelu add product last"),
        ("shifted", "relu up cat shares last groups heads"),
        ("halved", "norm product linear"),
        ("transposed", "pool mean"),
        ("no_eps", "norm"),
        ("more_macs", "linear relu"),
    ],
)
def test_wrong_ones_are_caught(fake: str, layers: str) -> None:
    found = statuses(fake, *layers.split())
    assert {name for name, status in found.items() if not status.bad} == set()
    assert set(found.values()) <= {Status.FAILED, Status.SHAPE_MISMATCH}


def test_a_failure_says_where_and_how_to_repeat_it() -> None:
    (verdict,) = verify(planned(), against="companion_fakes:last_off", only=("add",), dtypes=("float32",)).layers
    check = next(check for check in verdict.checks if check.status is Status.FAILED)
    step = next(step for step in planned().steps if step.name == "add")
    assert check.worst_index == tuple(size - 1 for size in step.y)
    assert "1 elements differ" in check.detail
    assert verdict.repro.startswith(f"convcli verify 'Constant({list(step.y)}, name=")


def test_a_backend_of_convolutions_alone_is_not_asked() -> None:
    """One reason for all of them, and no failure."""
    layers = [{"name": "conv", "type": "Conv2d", "out_channels": 4, "kernel_size": 3}, *LAYERS]
    found = verify(planned(layers), against="convcli.backends.numpy", only=("conv", "relu", "linear"))
    assert [layer.status for layer in found.layers[1:]] == [Status.SKIPPED] * 2
    assert "convolutions alone" in found.layers[1].checks[0].detail


def test_what_nobody_can_tell_is_skipped_with_the_reason() -> None:
    layers = [
        {"name": "nms", "type": "Unknown", "operation": "nms", "shape": [3, 4]},
        {"name": "token", "type": "Parameter", "shape": [1, 4]},
        {"name": "window", "type": "Rearrange", "shape": [4]},
        {"name": "power", "type": "Pow"},
    ]
    outcome = verify(planned(layers), against="companion_fakes:faithful")
    assert {layer.status for layer in outcome.layers} == {Status.SKIPPED}
    details = [layer.checks[-1].detail for layer in outcome.layers]
    assert details == [
        "nobody knows what it computes",
        "it computes nothing",
        "it says where elements go to by a shape alone",
        "numpy has no word for Pow",
    ]


def test_a_function_of_ones_own_and_bench_are_asked_for_convolutions() -> None:
    from convcli.timing.run import bench

    layers = [{"name": "conv", "type": "Conv2d", "out_channels": 4, "kernel_size": 3}, *LAYERS]
    record = bench(planned(layers), against=(), seconds=0.01)
    assert [layer.name for layer in record.layers] == ["conv"]
    assert record.left_out == len(LAYERS)


def test_every_spelling_makes_the_layer_again() -> None:
    """What the repro line says, with constants for the inputs of a join."""
    for step in planned().steps:
        words = spelled(step)
        made = spelled_network([word for word in words if "(" in word])
        if "-i" in words:
            made.input = tuple(json.loads(f"[{words[words.index('-i') + 1]}]"))
        again = plan(made).steps[-1]
        assert (again.layer, again.x, again.y) == (step.layer, step.x, step.y), words
