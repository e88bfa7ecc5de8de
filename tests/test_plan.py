"""A network worked out: shapes that chain, fields that grow, problems that are collected."""

from __future__ import annotations

from typing import Any

import pytest
from drawn import ints
from hypothesis import given
from hypothesis import strategies as st
from laws import refused_at_most

from convcli import SpecError
from convcli.axis import Axis
from convcli.layers import Conv
from convcli.plan import Network, Plan, plan
from convcli.spec.build import network

Shape = tuple[int, ...]


def planned(layers: list[Any], **top: Any) -> Plan:
    """The plan of a document."""
    return plan(network({"layers": layers, **top}, "net.yaml"))


def problems(layers: list[Any], **top: Any) -> list[tuple[str, str]]:
    """(field, message) of everything that is wrong with a document."""
    with pytest.raises(SpecError) as caught:
        planned(layers, **top)
    return [(problem.field, problem.message) for problem in caught.value.problems]


def conv(**fields: Any) -> dict[str, Any]:
    """A small convolution, changed by `fields`."""
    return {"type": "Conv2d", "out_channels": 4, "kernel_size": 3, **fields}


def test_a_layer_takes_what_the_one_before_it_gives() -> None:
    steps = planned(
        [conv(padding=1, stride=2), "Conv2d(4, 8, 3)", conv(type="ConvTranspose2d", stride=2)], input=[1, 3, 20, 31]
    ).steps
    assert [(step.x, step.y) for step in steps] == [
        ((3, 20, 31), (4, 10, 16)),
        ((4, 10, 16), (8, 8, 14)),
        ((8, 8, 14), (4, 17, 29)),
    ]
    assert [step.name for step in steps] == ["conv2d_1", "conv2d_2", "convtranspose2d_3"]


@pytest.mark.parametrize(("shape", "batch"), [([7, 3, 9, 9], (7,)), ([3, 9, 9], ()), ([0, 3, 9, 9], (0,))])
def test_the_batch_axis_comes_out_as_it_went_in(shape: list[int], batch: Shape) -> None:
    step, last = planned([conv(), conv()], input=shape).steps
    assert step.batch == last.batch == batch
    assert last.shown(last.y) == (*batch, 4, 5, 5)
    assert step.images == (batch[0] if batch else 1)


def test_channels_last_is_read_and_shown() -> None:
    (first, last) = planned([conv(), conv(out_channels=6)], input=[2, 20, 30, 3], input_layout="channels_last").steps
    assert first.x == (3, 20, 30)
    assert last.shown(last.y) == (2, 16, 26, 6)
    (unbatched,) = planned([conv()], input=[20, 30, 3], input_layout="channels_last").steps
    assert unbatched.shown(unbatched.y) == (18, 28, 4)


def test_a_layer_with_an_input_of_its_own_starts_anew() -> None:
    steps = planned([conv(stride=2), conv(input=[1, 5, 7, 7])], input=[1, 3, 20, 20]).steps
    assert steps[1].x == (5, 7, 7)
    field = steps[1].field or ()
    assert [reach.jump for reach in field] == [1, 1]
    assert [reach.size for reach in field] == [3, 3]


def test_no_top_input_is_needed_when_the_first_layer_has_one() -> None:
    assert planned([conv(input=[1, 3, 8, 8]), conv()]).steps[1].y == (4, 4, 4)


def test_a_type_without_a_rank_takes_the_inputs() -> None:
    for shape in ([1, 3, 9], [1, 3, 9, 9], [1, 3, 9, 9, 9]):
        (step,) = planned([{"type": "conv", "out_channels": 2, "kernel_size": 3}], input=shape).steps
        assert step.type == f"Conv{len(shape) - 2}d"
        assert step.y == (2, *(7,) * (len(shape) - 2))


def test_everything_wrong_is_said_at_once_and_in_order() -> None:
    found = problems(
        [
            conv(kernel_size=99, name="too-large"),
            conv(name="unknowable"),
            conv(name="own", input=[1, 3, 8, 8], groups=2),
            conv(name="fine", input=[1, 3, 8, 8]),
            conv(name="last", in_channels=5),
        ],
        input=[1, 3, 8, 8],
    )
    assert [field for field, _ in found] == ["layers[0].kernel_size", "layers[2].groups", "layers[4].in_channels"]


def test_what_follows_a_broken_layer_is_not_blamed_for_it() -> None:
    assert len(problems([conv(kernel_size=99), *[conv(in_channels=77)] * 5], input=[1, 3, 8, 8])) == 1


def test_a_layer_that_nothing_feeds_says_so_once() -> None:
    ((field, message),) = problems([conv(), conv()])
    assert field == "layers[0].input"
    assert "no input reaches" in message


def test_a_rank_that_changes_on_the_way_is_the_inputs_fault() -> None:
    ((field, _),) = problems([conv(), {"type": "Conv3d", "out_channels": 4, "kernel_size": 1}], input=[3, 8, 8])
    assert field == "layers[1].input"


CHAINS = st.lists(
    st.fixed_dictionaries(
        {
            "kernel_size": st.lists(ints(1, 4), min_size=2, max_size=2),
            "stride": st.lists(ints(1, 2), min_size=2, max_size=2),
            "dilation": st.lists(ints(1, 2), min_size=2, max_size=2),
            "padding": st.lists(st.lists(ints(0, 3), min_size=2, max_size=2), min_size=2, max_size=2),
        }
    ),
    min_size=1,
    max_size=4,
)


def footprint(layers: tuple[Axis, ...], cell: int) -> set[int]:
    """The cells, padding included, that one output cell of a chain depends on."""
    cells = {cell}
    for axis in reversed(layers):
        cells = {c * axis.stride - axis.before + t * axis.dilation for c in cells for t in range(axis.kernel)}
    return cells


@given(CHAINS)
def test_the_field_of_every_step_is_its_footprint(chain: list[dict[str, Any]]) -> None:
    """Each axis by itself, at every depth of the network."""
    steps = planned([conv(**fields) for fields in chain], input=[1, 3, 120, 130]).steps
    for depth, step in enumerate(steps, 1):
        for place in range(2):
            axes = tuple(earlier.layer.axes[place] for earlier in steps[:depth])
            first, second = footprint(axes, 0), footprint(axes, 1)
            reach = (step.field or ())[place]
            assert reach.size == max(first) - min(first) + 1
            assert reach.jump == min(second) - min(first)
            assert reach.twice_start == min(first) + max(first) + 1


@given(CHAINS, ints(1, 40), ints(1, 40))
def test_a_chain_is_legal_exactly_when_each_layer_fits(chain: list[dict[str, Any]], height: int, width: int) -> None:
    """The outputs of one layer are the inputs of the next, whoever computes them."""
    shape: Shape = (3, height, width)
    expected: Shape | None = shape
    for fields in chain:
        layer = Conv(
            axes=tuple(
                Axis(k, s, d, *pad)
                for k, s, d, pad in zip(
                    fields["kernel_size"], fields["stride"], fields["dilation"], fields["padding"], strict=True
                )
            ),
            out_channels=4,
        )
        rooms = [size + a.before + a.after - a.span for size, a in zip(shape[1:], layer.axes, strict=True)]
        if min(rooms) < 0:
            expected = None
            break
        shape = expected = layer.output_shape(shape)
    layers = [conv(**fields) for fields in chain]
    if expected is None:
        assert len(problems(layers, input=[1, 3, height, width])) == 1
    else:
        assert planned(layers, input=[1, 3, height, width]).steps[-1].y == expected


def test_a_plan_of_thousands_of_layers_does_not_recurse() -> None:
    steps = planned([conv(out_channels=3, padding=1)] * 5000, input=[1, 3, 8, 8]).steps
    assert steps[-1].y == (3, 8, 8)
    assert (steps[-1].field or ())[0].size == 2 * 5000 + 1


@given(st.lists(ints(0, 6), min_size=0, max_size=7))
def test_any_input_shape_is_planned_or_refused(shape: list[int]) -> None:
    """Lengths and zeros of any kind: a SpecError at the layer, or a plan."""
    with refused_at_most(lambda problem: problem.field.startswith("[0]")):
        step = plan(Network(network([conv(kernel_size=1)], "net.yaml").entries, input=tuple(shape))).steps[0]
        assert len(shape) in {3, 4}
        assert step.y[1:] == tuple(shape[-2:])
