"""`bench`: what it measures and what it makes of the readings; that no time is compared with anything but itself."""

from __future__ import annotations

from itertools import groupby
from math import prod
from time import perf_counter
from typing import Any

import msgspec
import numpy as np
import pytest
from drawn import CASES, Case
from hypothesis import given, settings
from hypothesis import strategies as st

import convcli
from convcli import kernels
from convcli.backends import numpy as ours
from convcli.errors import SpecError
from convcli.layers import ConvTranspose, Layer
from convcli.plan import plan
from convcli.spec.build import spelled_network
from convcli.timing.measure import FEWEST, How, Side, data, interleaved, measure
from convcli.timing.products import products
from convcli.timing.record import LIMIT, Timing, timed, total

ONE = How((Side("numpy", method="auto"),), "float32", 1, 0.01)


@pytest.mark.parametrize("kind", CASES, ids=lambda kind: str(kind.kind))
def test_the_products_are_the_layers_macs(kind: type[Layer]) -> None:
    """The bare matrix products multiply as often as the layer's dense count says; gradients twice as often."""

    @settings(max_examples=40)
    @given(CASES[kind]())
    def law(case: Case) -> None:
        layer, x = case.layer, case.x
        macs = layer.counts(x, case.batch).macs
        parts = [part.layer for part in layer.parts(x)] or [layer]
        if any(isinstance(part, ConvTranspose) for part in parts):
            assert sum(map(prod, products(layer, x, case.batch))) == macs
            return
        assert sum(map(prod, products(layer, x, case.batch))) == macs
        assert sum(map(prod, products(layer, x, case.batch, grad=True))) == 2 * macs

    law()


@pytest.mark.parametrize("kind", CASES, ids=lambda kind: str(kind.kind))
@pytest.mark.parametrize("grad", [False, True], ids=["forward", "grad"])
def test_every_kind_is_measured(kind: type[Layer], grad: bool) -> None:
    @settings(max_examples=3)
    @given(CASES[kind]())
    def law(case: Case) -> None:
        how = msgspec.structs.replace(ONE, grad=grad)
        found = measure(case.layer, case.lead, case.x, how)
        assert found.missing == {}
        assert set(found.nanoseconds) == {"numpy", LIMIT}
        assert all(len(readings) >= FEWEST for readings in found.nanoseconds.values())
        assert min(found.nanoseconds["numpy"]) > 0

    law()


@pytest.mark.parametrize("kind", CASES, ids=lambda kind: str(kind.kind))
def test_the_data_fit_the_layer(kind: type[Layer]) -> None:
    @settings(max_examples=5)
    @given(CASES[kind]())
    def law(case: Case) -> None:
        arrays = data(case.layer, case.lead, case.x, msgspec.structs.replace(ONE, grad=True))
        assert {str(array.dtype) for array in arrays.values()} == {"float32"}
        dy = arrays.pop("dy")
        assert ours.forward(case.layer, arrays).shape == dy.shape

    law()


def test_the_sides_take_turns() -> None:
    order: list[str] = []
    calls = {name: lambda name=name: order.append(name) for name in "ab"}
    ticks = iter(range(0, 10**9, 2_000_000))
    readings = interleaved(calls, lambda: next(ticks), 1e-9)
    runs = [name for i, name in enumerate(order) if i == 0 or order[i - 1] != name]
    assert runs == ["a", "b"] * (1 + FEWEST)
    assert {name: len(times) for name, times in readings.items()} == {"a": FEWEST, "b": FEWEST}


def test_on_more_threads_each_side_is_woken_before_it_is_read() -> None:
    order: list[str] = []
    calls = {name: lambda name=name: order.append(name) for name in "ab"}
    ticks = iter(range(0, 10**9, 2_000_000))
    start = perf_counter()
    interleaved(calls, lambda: next(ticks), 1e-9, pause=0.01)
    assert perf_counter() - start >= 2 * FEWEST * 0.01
    after = order[-2 * order.count("a") :]
    runs = [len(list(run)) for _, run in groupby(after)]
    assert len(runs[-2 * FEWEST :]) == 2 * FEWEST
    assert min(runs[-2 * FEWEST :]) >= 2  # the one that wakes, those that are read


@given(st.lists(st.tuples(st.floats(1, 1e6), st.floats(1, 1e6), st.floats(1, 1e6), st.integers(1, 9)), min_size=1))
def test_sums_and_ratios(times: list[tuple[float, float, float, int]]) -> None:
    blank = Timing(name="a", type="Conv2d", input=(1,), output=(1,), macs=3)
    layers = tuple(
        timed(msgspec.structs.replace(blank, count=n), {"x": [a] * 3, "y": [b] * 3, LIMIT: [c] * 3}, {})
        for a, b, c, n in times
    )
    assert layers[0].ratios == {"y": pytest.approx(times[0][0] / times[0][1])}
    assert layers[0].of_limit["x"] == pytest.approx(times[0][2] / times[0][0])
    lacking = timed(blank, {"x": [1e9] * 3, LIMIT: [1e9] * 3}, {"y": "it lacks it"})
    assert (lacking.status, lacking.ratios) == ("unsupported", {})
    found = total((*layers, lacking), ("x", "y"))
    assert found.layers == sum(n for *_, n in times)
    assert found.ratios["y"] == pytest.approx(sum(a * n for a, _, _, n in times) / sum(b * n for _, b, _, n in times))


def test_equal_layers_are_measured_once() -> None:
    network = spelled_network(["Conv2d(2, 2, 3, padding=1)", "Conv2d(2, 2, 3, padding=1)", "Conv2d(2, 3, 1)"])
    network.input = (1, 2, 6, 6)
    told: list[tuple[int, int, str]] = []
    found = convcli.bench(plan(network), against=(), seconds=0.01, progress=lambda *done: told.append(done))
    assert [layer.count for layer in found.layers] == [2, 1]
    assert found.totals.layers == 3
    assert found.totals.seconds["numpy"] == pytest.approx(
        2 * found.layers[0].seconds["numpy"] + found.layers[1].seconds["numpy"]
    )
    assert told == [(1, 2, "conv2d_1"), (2, 2, "conv2d_3")]
    assert found.exit_code == 0
    assert found.environment == {"numpy": np.__version__}


def test_what_a_side_lacks_is_told() -> None:
    network = spelled_network(["DeformConv2d(2, 2, 3)"])
    network.input = (1, 2, 6, 6)
    found = convcli.bench(network, methods=("auto", "im2col"), against=(), seconds=0.01)
    assert set(found.layers[0].seconds) == {"numpy"}
    assert "im2col" in found.layers[0].missing["numpy im2col"]
    assert (found.layers[0].status, found.totals.layers, found.exit_code) == ("unsupported", 0, 3)


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        (("measured",), 0),
        (("measured", "skipped"), 0),
        (("skipped",), 3),
        (("measured", "unsupported"), 3),
        (("measured", "crashed"), 3),
        ((), 3),
    ],
)
def test_a_run_that_could_not_measure_is_no_success(statuses: tuple[str, ...], code: int) -> None:
    blank = Timing(name="a", type="Conv2d", input=(1,), output=(1,), macs=3)
    network = spelled_network(["Conv2d(2, 2, 3)"])
    network.input = (1, 2, 6, 6)
    record = convcli.bench(network, against=(), seconds=0.01)
    layers = tuple(msgspec.structs.replace(blank, status=status) for status in statuses)
    assert msgspec.structs.replace(record, layers=layers).exit_code == code


def test_a_side_that_refuses_does_not_end_the_others() -> None:
    """A library may raise anything; a layer that is too large is skipped with both sizes in words."""
    network = spelled_network(["Conv2d(2, 2, 3)"])
    network.input = (1, 2, 6, 6)
    found = convcli.bench(network, against=("bench_fakes:Refusing",), seconds=0.01)
    assert found.layers[0].missing == {"bench_fakes:Refusing": "KeyError: 'no such plan'"}
    assert set(found.layers[0].seconds) == {"numpy"}
    small = convcli.bench(network, against=(), seconds=0.01, max_memory=1)
    assert (small.layers[0].status, small.exit_code) == ("skipped", 3)
    assert "--max-memory" in small.layers[0].reason


@pytest.mark.parametrize("kind", CASES, ids=lambda kind: str(kind.kind))
def test_every_gradient_method_is_timed_by_its_name(kind: type[Layer]) -> None:
    """What the kernels of a layer without parts have, all of it; a side that is missing says which names there are."""

    @settings(max_examples=2)
    @given(CASES[kind]())
    def law(case: Case) -> None:
        methods = (
            kernels.METHODS[f"{ours.KERNELS[kind.kind]}_backward"] if kind.kind in ours.KERNELS else ("auto", "loops")
        )
        how = How(tuple(Side(method, method=method) for method in (*methods, "fast")), "float64", 1, 1e-9, grad=True)
        found = measure(case.layer, case.lead, case.x, how)
        assert set(found.nanoseconds) == {*methods, LIMIT}
        assert found.missing.keys() == {"fast"}
        assert "'fast' is not known; allowed: auto, loops" in found.missing["fast"]

    law()


@pytest.mark.parametrize("kind", CASES, ids=lambda kind: str(kind.kind))
def test_gradient_methods_agree_through_the_backend(kind: type[Layer]) -> None:
    """`loops` by name is not `auto` under another name's clock: both give the same exact gradients of every array."""

    @settings(max_examples=5)
    @given(CASES[kind]())
    def law(case: Case) -> None:
        arrays = data(case.layer, case.lead, case.x, How((), "float64", 1, 1, grad=True))
        dy = arrays.pop("dy")
        fast, slow = (ours.backward(case.layer, arrays, dy, method) for method in ("auto", "loops"))
        assert fast.keys() == slow.keys() == arrays.keys() - {"rois"}  # boxes have no gradient
        for name, gradient in fast.items():
            np.testing.assert_allclose(gradient, slow[name], rtol=1e-9, atol=1e-9, err_msg=name)

    law()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dtype": "int8"}, "int8"),
        ({"seconds": 0}, "too short"),
        ({"threads": 0}, "threads=0"),
        ({"methods": ("fast",)}, "'fast' is not known"),
        ({"methods": ("winograd",), "grad": True}, "no gradient has a method 'winograd'"),
        ({"methods": ("flipped",)}, "'flipped' is not known"),
        ({"against": ("torhc",)}, "no backend 'torhc'"),
        ({"methods": (), "against": ()}, "nothing to measure"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], words: str) -> None:
    network = spelled_network(["Conv2d(2, 2, 3)"])
    network.input = (1, 2, 6, 6)
    with pytest.raises(SpecError, match=words):
        convcli.bench(network, **options)


@pytest.mark.torch
def test_torch_is_measured_forward_and_backward() -> None:
    network = spelled_network(["Conv2d(2, 4, 3, groups=2)", "DeformConv2dPack(4, 2, 3, modulated=True)"])
    network.input = (1, 2, 9, 9)
    for grad in (False, True):
        found = convcli.bench(network, grad=grad, seconds=0.02)
        assert found.exit_code == 0, found
        assert set(found.totals.ratios) == {"torch"}
