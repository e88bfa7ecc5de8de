"""What `explain` says is arithmetic, and comes to what the layer says: every line is worked out here once more."""

from __future__ import annotations

import ast
from math import isclose
from typing import TYPE_CHECKING

import pytest
from drawn import CASES, Case, cases
from explained import FUNCTIONS, net_of, network, worked_out
from laws import examples, holds
from msgspec import UNSET

from convcli.explaining.record import Explanation, LayerExplanation, explain
from convcli.explaining.working import Working
from convcli.plan import Network, plan
from convcli.records import summarize

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.layers import Layer
    from convcli.records import LayerRecord


COMPANIONS = [
    ("Linear(6, 5)", (2, 3, 6)),
    ("BatchNorm2d(4)", (2, 4, 5, 5)),
    ("InstanceNorm1d(4)", (2, 4, 5)),
    ("GroupNorm(2, 4)", (2, 4, 5)),
    ("LayerNorm(6)", (2, 3, 6)),
    ("MaxPool2d(3, 2, 1)", (1, 4, 9, 8)),
    ("MaxPool2d(2, 2, ceil_mode=True)", (1, 4, 5, 6)),
    ("MaxPool1d(2, 3, padding=1, ceil_mode=True)", (1, 4, 4)),
    ("AvgPool2d(3, padding=1)", (1, 4, 9, 8)),
    ("AdaptiveAvgPool2d((3, 2))", (2, 4, 8, 5)),
    ("AdaptiveMaxPool1d(3)", (2, 4, 8)),
    ("ReLU()", (2, 3)),
    ("Softmax(-1)", (2, 3)),
    ("Dropout()", (2, 3)),
    ("PReLU(3)", (2, 3, 4)),
    ("Flatten()", (2, 3, 4)),
    ("Reshape((2, -1))", (2, 3, 4)),
    ("Permute((0, 2, 1))", (2, 3, 4)),
    ("Upsample(scale_factor=2)", (2, 3, 4)),
    ("Upsample(size=7)", (2, 3, 4)),
    ("PixelShuffle(2)", (1, 8, 3, 4)),
    ("ZeroPad2d((1, 2, 3, -1))", (1, 2, 5, 6)),
    ("MultiheadAttention(6, 2)", (5, 2, 6)),
    ("Embedding(10, 4)", (2, 3)),
    ("Mean((2, 3))", (2, 3, 4, 5)),
    ("Constant((2, 3))", (1, 2)),
    ("Rearrange((6, 4))", (2, 3, 4)),
    ("DeformRoIPool((3, 2), num_rois=2, spatial_scale=0.3)", (2, 3, 8, 7)),
    ("DeformRoIPool(2, sampling_ratio=2)", (1, 3, 8, 7)),
    ("DeformRoIPoolPack(2, num_rois=3, deform_fc_channels=5)", (2, 3, 8, 7)),
    ("ModulatedDeformRoIPoolPack(2, num_rois=3, deform_fc_channels=5)", (2, 3, 8, 7)),
    ("Unknown(operation='odd', shape=(2, 3))", (2, 3)),
]


def put_in(formula: ast.AST, numbers: ast.AST, names: dict[str, str]) -> None:
    """The same tree with a number for each name, one and the same for each."""
    if isinstance(formula, ast.Name) and formula.id not in FUNCTIONS:
        assert names.setdefault(formula.id, ast.unparse(numbers)) == ast.unparse(numbers)
        return
    assert type(formula) is type(numbers)
    inner, others = list(ast.iter_child_nodes(formula)), list(ast.iter_child_nodes(numbers))
    assert len(inner) == len(others)
    for one, other in zip(inner, others, strict=True):
        put_in(one, other, names)


def check_step(step: Working) -> None:
    """Each line comes to the result, and the first is the formula with numbers for names."""
    for line in step.numbers:
        tolerance = 5.1e-4 if step.of == "flops_per_byte" else 0  # the record rounds it to three places
        assert isclose(worked_out(line), step.result, rel_tol=1e-12, abs_tol=tolerance), step
    formula = ast.parse(step.formula, mode="eval").body
    if step.numbers:
        put_in(formula, ast.parse(step.numbers[0], mode="eval").body, {})
    else:
        assert isinstance(formula, ast.Name | ast.Constant), step


def everything(told: LayerExplanation) -> Iterator[LayerExplanation]:
    yield told
    yield from told.parts


def steps(told: LayerExplanation) -> list[Working]:
    return [step for section in told.sections for step in section.steps]


def check_layer(told: LayerExplanation, record: LayerRecord) -> None:
    """All lines hold, and those that a report has too say the same there."""
    for step in steps(told):
        check_step(step)
    found = {step.of: step.result for step in steps(told)}
    for name in (*("params", "macs", "macs_nonpad", "macs_kept", "macs_zero_insert", "flops", "bias_adds"),
                 *("interpolation_macs", "modulation_macs", "coordinate_flops", "elementwise_flops")):  # fmt: skip
        if name in found:
            assert found[name] == getattr(record, name), name
    assert record.flops is UNSET or not record.flops or found["flops"] == record.flops
    assert told.sections
    for one, part in zip(told.parts, record.parts or (), strict=True):
        check_layer(one, part)


def check(net: Network) -> Explanation:
    explanation = explain(net)
    (report,) = summarize(net, backward=True).reports
    for told, record in zip(explanation.reports[0].layers, report.layers, strict=True):
        check_layer(told, record)
    return explanation


@examples(150, 5000)
def test_every_line_is_true(count: int) -> None:
    def law(case: Case) -> None:
        check(net_of(case))

    holds(law, cases(), count)


@pytest.mark.parametrize("kind", CASES, ids=lambda kind: kind.__name__)
def test_every_kind_has_its_sizes_parameters_and_products(kind: type[Layer]) -> None:
    def law(case: Case) -> None:
        (told,) = check(net_of(case)).reports[0].layers
        titles = {section.title for one in everything(told) for section in one.sections}
        assert {"output size", "parameters", "memory in float32"} <= titles
        assert {"MACs", "FLOPs"} <= titles or "sampling costs" in titles
        assert told.equation.startswith("y")
        sizes = {step.result for one in everything(told) for step in steps(one) if step.of.startswith("out (")}
        assert not case.layer.spatial or set(case.layer.output(case.x)[1:]) <= sizes

    holds(law, CASES[kind](), 20)


@pytest.mark.parametrize(("layer", "shape"), COMPANIONS)
def test_companions(layer: str, shape: tuple[int, ...]) -> None:
    (told,) = check(network({"input": list(shape), "layers": [layer]})).reports[0].layers
    assert "{" not in told.equation
    assert {"parameters", "MACs", "other operations"} & {section.title for section in told.sections}


def test_joins_and_a_network() -> None:
    layers = [
        {"name": "a", "type": "Conv2d", "out_channels": 4, "kernel_size": 3, "padding": "same", "dilation": 2},
        {"name": "b", "type": "Conv2d", "out_channels": 4, "kernel_size": 3, "padding": "same", "dilation": 2},
        {"name": "sum", "type": "Add", "from": ["a", "b"]},
        {"name": "cat", "type": "Concat", "from": ["sum", "a"]},
        {"name": "mul", "type": "MatMul", "from": ["sum", "a"]},
        {"name": "d", "type": "SeparableConv2d", "out_channels": 4, "kernel_size": 3, "padding": 1, "from": "sum"},
        {"name": "again", "shares": "d"},
        {"name": "up", "type": "ConvTranspose2d", "out_channels": 2, "kernel_size": 3, "stride": 2},
        {"name": "end", "type": "Conv2d", "out_channels": 2, "kernel_size": 3},
    ]
    explanation = check(network({"input": [1, 4, 16, 16], "layers": layers}))
    by_name = {layer.name: layer for layer in explanation.reports[0].layers}
    (gridding,) = [section for section in by_name["b"].sections if section.title == "gridding"]
    assert any("holes made by" in line for line in gridding.text)
    again = {section.title: section for one in everything(by_name["again"]) for section in one.sections}
    assert again["parameters"].text == ("its tensors are those of d, and counted there",)
    (only,) = explain(plan(network({"input": [1, 4, 16, 16], "layers": layers})), layer="b").reports[0].layers
    assert only == by_name["b"]
