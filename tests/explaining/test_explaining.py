"""What `explain` says is arithmetic, and comes to what the layer says: every line is worked out here once more."""

from __future__ import annotations

import ast
import operator
import re
from fractions import Fraction
from math import ceil, floor, isclose
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from drawn import CASES, Case, cases, ints
from hypothesis import given
from hypothesis import strategies as st
from laws import examples, holds
from msgspec import UNSET

import convcli
from convcli import kernels
from convcli.explaining.matrix import Unrolled
from convcli.explaining.record import Explanation, LayerExplanation, explain
from convcli.explaining.working import Working
from convcli.layers import Conv, ConvTranspose
from convcli.plan import Network, plan
from convcli.records import summarize
from convcli.spec.build import network as read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from convcli.explaining.subject import Section
    from convcli.layers import Layer
    from convcli.records import LayerRecord

SIGNS: dict[type, Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
FUNCTIONS = {"floor": floor, "ceil": ceil, "max": max, "min": min}
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
    ("Unknown(operation='odd', shape=(2, 3))", (2, 3)),
]


def worked_out(text: str) -> Fraction:
    """Whole numbers and quotients exactly; nothing but numbers, four signs and four functions."""

    def value(node: ast.expr) -> Fraction:
        match node:
            case ast.Constant(value=int() | float() as number):
                return Fraction(str(number))
            case ast.UnaryOp(op=ast.USub()):
                return -value(node.operand)
            case ast.BinOp(left=left, op=sign, right=right):
                return SIGNS[type(sign)](value(left), value(right))
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return Fraction(FUNCTIONS[name](*map(value, arguments)))
        raise AssertionError(f"{ast.unparse(node)} in {text}")

    return value(ast.parse(text, mode="eval").body)


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


def network(spec: dict[str, Any]) -> Network:
    return read(spec, "net.yaml")


def net_of(case: Case) -> Network:
    return network({"input": list(case.input), "layers": [case.fields]})


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
        assert {"output size", "parameters", "MACs", "FLOPs"} <= titles
        assert told.equation.startswith("y")
        sizes = [step.result for one in everything(told) for step in steps(one) if step.of.startswith("out (")]
        assert set(case.layer.output(case.x)[1:]) <= set(sizes)

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
        {"name": "up", "type": "ConvTranspose2d", "out_channels": 2, "kernel_size": 3, "stride": 2},
        {"name": "end", "type": "Conv2d", "out_channels": 2, "kernel_size": 3},
    ]
    explanation = check(network({"input": [1, 4, 16, 16], "layers": layers}))
    by_name = {layer.name: layer for layer in explanation.reports[0].layers}
    (gridding,) = [section for section in by_name["b"].sections if section.title == "gridding"]
    assert any("holes made by" in line for line in gridding.text)
    (only,) = explain(plan(network({"input": [1, 4, 16, 16], "layers": layers})), layer="b").reports[0].layers
    assert only == by_name["b"]


# The matrix, the phases, zero insertion and the taps against the numpy kernels.


def ramp(*shape: int) -> NDArray[np.int64]:
    """1, 2, 3, ... with one image and one channel before."""
    return np.arange(1, 1 + int(np.prod(shape)), dtype=np.int64).reshape(1, 1, *shape)


@st.composite
def one_channel(draw: st.DrawFn, kind: type[Layer]) -> Case:
    """A layer of one input and one output channel."""
    case = draw(CASES[kind]())
    fields = {**case.fields, "out_channels": 1, "in_channels": 1, "groups": 1, "bias": False}
    fields.pop("depth_multiplier", None)
    fields["type"] = str(fields["type"]).replace("Depthwise", "")
    return Case(fields, (1, 1, *case.x[1:]))


def convolved(layer: Layer, x: NDArray[np.int64], w: NDArray[np.int64]) -> NDArray[np.int64]:
    names = {"stride": [a.stride for a in layer.axes], "dilation": [a.dilation for a in layer.axes]}
    padding = [(a.before, a.after) for a in layer.axes]
    if isinstance(layer, ConvTranspose):
        extra = [axis.output_padding for axis in layer.axes]
        return kernels.conv_transpose(x, w, padding=padding, output_padding=extra, **names)  # type: ignore[arg-type]
    mode = getattr(layer, "padding_mode", "zeros")
    return kernels.conv(x, w, padding=padding, padding_mode=mode, **names)  # type: ignore[arg-type]


def ones_and_up(layer: Layer) -> NDArray[np.int64]:
    return ramp(*[axis.kernel for axis in layer.axes])


def sectioned(told: LayerExplanation, title: str) -> Section | None:
    return next((section for section in told.sections if section.title == title), None)


def matrix_of(unrolled: Unrolled) -> NDArray[np.int64]:
    c = np.zeros((int(np.prod(unrolled.positions)), int(np.prod(unrolled.cells))), np.int64)
    for row, entries in enumerate(unrolled.rows):
        for column, taps in entries.items():
            c[row, column] = sum(unrolled.weights[f"w{''.join(map(str, tap))}"] for tap in taps)
    return c


@pytest.mark.parametrize("kind", [Conv, ConvTranspose])
def test_the_matrix_is_the_convolution_and_its_transpose_the_transposed_one(kind: type[Layer]) -> None:
    def law(case: Case) -> None:
        layer, y = case.layer, case.layer.output(case.x)
        if isinstance(layer, ConvTranspose):
            c = matrix_of(Unrolled(layer.axes, y[1:], case.x[1:])).T
        else:
            c = matrix_of(Unrolled(layer.axes, case.x[1:], y[1:], layer.padding_mode))  # type: ignore[attr-defined]
        product = c @ ramp(*case.x[1:]).ravel()
        assert product.tolist() == convolved(layer, ramp(*case.x[1:]), ones_and_up(layer)).ravel().tolist()

    holds(law, one_channel(kind), 60)


def test_the_worked_example_of_the_matrix() -> None:
    """A 3x3 input and a 2x2 kernel: C is 4 x 9, its first row w00 w01 0 w10 w11 0 0 0 0."""
    (told,) = explain(network({"input": [1, 1, 3, 3], "layers": ["Conv2d(1, 1, 2, bias=False)"]})).reports[0].layers
    section = sectioned(told, "the layer as a matrix")
    assert section is not None
    assert "C is 4 x 9" in section.text[0]
    assert section.tables[0].rows[0] == ("y00", "w00", "w01", ".", "w10", "w11", ".", ".", ".", ".")
    y = [step.result for step in section.steps if step.of.startswith("y")]
    back = [step.result for step in section.steps if step.of.startswith("(C^T")]
    w = ramp(2, 2)
    assert y == kernels.conv(ramp(3, 3), w).ravel().tolist()
    assert back == kernels.conv_transpose(ramp(2, 2), w).ravel().tolist()


def test_a_large_layers_matrix_is_that_of_a_smaller_one_and_says_so() -> None:
    (told,) = explain(network({"input": [1, 3, 64, 64], "layers": ["Conv2d(3, 8, 7, stride=2)"]})).reports[0].layers
    section = sectioned(told, "the layer as a matrix")
    assert section is not None
    assert "this layer's own C is 841 x 4096" in section.text[1]
    assert "on 9 cells along H alone" in section.text[1]
    (told,) = explain(network({"input": [1, 1, 9**6], "layers": ["Conv1d(1, 1, 500)"]})).reports[0].layers
    assert sectioned(told, "the layer as a matrix") is None


@pytest.mark.parametrize("kind", [Conv, ConvTranspose])
def test_the_taps_of_a_cell_are_its_sum(kind: type[Layer]) -> None:
    def law(drawn: tuple[Case, int]) -> None:
        case, seed = drawn
        layer, out = case.layer, case.layer.output(case.x)[1:]
        cell = tuple(np.random.default_rng(seed).integers(0, out).tolist())
        (told,) = explain(net_of(case), cell=cell).reports[0].layers
        section = sectioned(told, "taps")
        assert section is not None
        x, w = ramp(*case.x[1:])[0, 0], ones_and_up(layer)[0, 0]
        total = 0
        for tap, read, *note in section.tables[0].rows:
            place = (note and re.search(r"x\[(.*)\]", str(note[0]))) or re.search(r"x\[(.*)\]", str(read))
            assert place
            if not note or note[0] != "outside: 0":
                total += w[index(str(tap)[2:-1])] * x[index(place[1])]
        assert total == convolved(layer, x[None, None], w[None, None])[(0, 0, *cell)]

    holds(law, st.tuples(one_channel(kind), ints(0, 9999)), 60)


def index(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


def test_the_phases_make_the_output() -> None:
    """Every cell stride*p + phase from the terms of its phase, in one dimension; cells outside are 0."""

    def law(case: Case) -> None:
        layer, x = case.layer, ramp(*case.x[1:])
        (told,) = explain(net_of(case)).reports[0].layers
        section = sectioned(told, "phases")
        assert section is not None
        stride, y = layer.axes[0].stride, convolved(layer, x, ones_and_up(layer))[0, 0]
        for place, found in enumerate(y.tolist()):
            p, phase = divmod(place, stride)
            _, terms, text = section.tables[0].rows[phase]
            taps = re.findall(r"w(\d+)\*x\[p(?: ([+-]) (\d+))?\]", str(text))
            assert len(taps) == terms
            cells = [(int(tap) + 1, p + int(f"{sign or '+'}{by or 0}")) for tap, sign, by in taps]
            assert found == sum(w * x[0, 0, cell] for w, cell in cells if 0 <= cell < x.shape[-1])

    holds(law, one_channel(ConvTranspose).filter(lambda case: case.rank == 1), 60)


def test_zero_insertion_makes_the_output() -> None:
    """The numbers it tells: inserted, the padding at both ends; a convolution with the kernel turned round."""

    def law(case: Case) -> None:
        layer, x = case.layer, ramp(*case.x[1:])
        (told,) = explain(net_of(case)).reports[0].layers
        section = sectioned(told, "zero insertion")
        assert section is not None
        number = {step.of: int(step.result) for step in section.steps}
        axis = layer.axes[0]
        wide = np.zeros((1, 1, number["inserted (L)"]), np.int64)
        wide[..., :: axis.stride] = x
        pads = [(number["pad_before (L)"], number["pad_after (L)"])]
        turned = ones_and_up(layer)[..., ::-1]
        y = kernels.conv(wide, turned, padding=pads, dilation=axis.dilation)
        assert y.tolist() == convolved(layer, x, ones_and_up(layer)).tolist()

    holds(law, one_channel(ConvTranspose).filter(lambda case: case.rank == 1), 60)


@given(ints(1, 12), ints(1, 12), ints(1, 4), ints(1, 5))
def test_the_separable_ratio(channels: int, outs: int, kernel: int, multiplier: int) -> None:
    fields = {"type": "SeparableConv2d", "out_channels": outs, "kernel_size": kernel, "depth_multiplier": multiplier}
    (told,) = check(network({"input": [2, channels, 9, 9], "layers": [fields]})).reports[0].layers
    section = sectioned(told, "against the standard layer")
    assert section is not None
    found = {step.of: step for step in section.steps}
    ratio = multiplier * (Fraction(1, outs) + Fraction(1, kernel**2))
    for name in ("macs_ratio", "ratio"):
        assert worked_out(found[name].numbers[-1]) == ratio
    standard = convcli.parse(f"Conv2d({channels}, {outs}, {kernel}, bias=False)")
    shape = (2, channels, 9, 9)
    assert found["standard_macs"].result == standard.macs(shape)
    assert found["standard_weights"].result == standard.params(shape)


@given(ints(1, 3), ints(1, 3), ints(1, 4), ints(1, 4), st.booleans())
def test_the_offset_layout(offset_groups: int, per_group: int, rows: int, columns: int, modulated: bool) -> None:
    """Every channel of the offset is listed once, dy before dx, as semantics has it; past 27 points the list stops."""
    fields = {"type": "DeformConv2d", "out_channels": 2, "kernel_size": [rows, columns], "modulated": modulated}
    shape = [1, offset_groups * per_group, 7, 7]
    net = network({"input": shape, "layers": [{**fields, "offset_groups": offset_groups}]})
    (told,) = check(net).reports[0].layers
    section = sectioned(told, "offsets")
    assert section is not None
    listed = section.tables[0].rows
    assert len(listed) == min(27, offset_groups * rows * columns)
    for group, row, col, dy, dx, *mask in listed:
        point = int(group) * rows * columns + int(row) * columns + int(col)
        assert (dy, dx) == (2 * point, 2 * point + 1)
        assert mask == ([point] if modulated else [])
