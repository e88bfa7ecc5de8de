"""Other libraries than torch, as far as they are installed, and what is known of their faults."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from verify_layers import SMALL, Named, planned

from convcli.axis import axes
from convcli.backends import REGISTERED, Unsupported, backend
from convcli.backends import numpy as ours
from convcli.backends.known import DIFFERENCES, difference_known
from convcli.errors import BackendMissing
from convcli.layers import Conv, ConvTranspose
from convcli.spec.build import spelled_network
from convcli.timing.measure import How, data
from convcli.timing.run import bench
from convcli.verifier.ledger import excused
from convcli.verifier.run import verify
from convcli.verifier.verdict import Check, Status

NEEDS = {
    "onnxruntime": ("onnxruntime", "onnx"),
    "onnx-reference": ("onnx",),
    "jax": ("jax",),
    "tensorflow": ("tensorflow",),
}
PLANE: list[Named] = [layer for layer in SMALL if len(layer[0].axes) == 2]


def grouped(outs: int, *, bias: bool) -> ConvTranspose:
    return ConvTranspose(axes=axes((3, 2), stride=2), out_channels=outs, groups=2, bias=bias)


@pytest.mark.parametrize("name", sorted(NEEDS))
def test_layers_of_every_kind_pass_or_are_unsupported(name: str) -> None:
    for library in NEEDS[name]:
        pytest.importorskip(library)
    outcome = verify(planned(*PLANE), against=name, dtypes=("float32",))
    found = {layer.name: str(layer.status) for layer in outcome.layers}
    assert set(found.values()) <= {"passed", "unsupported"}
    assert list(found.values()).count("passed") >= (
        7 if name == "tensorflow" else 9
    )  # it has fewer paddings and groups
    for layer in outcome.layers:
        for check in layer.checks:
            assert "Error" not in check.detail or check.detail.startswith("a known difference"), check.detail


def test_a_known_difference_is_still_one() -> None:
    pytest.importorskip("onnx")
    layers = [(grouped(4, bias=True), (1, 4, 5, 6)), (grouped(6, bias=False), (1, 4, 5, 6))]
    outcome = verify(planned(*layers, (grouped(2, bias=False), (1, 2, 5, 6))), against="onnx-reference")
    assert [str(layer.status) for layer in outcome.layers] == ["unsupported", "unsupported", "passed"]
    assert outcome.layers[0].repro.endswith("--seed 0 --against onnx-reference")
    details = [c.detail for layer in outcome.layers[:2] for c in layer.checks if c.name == "forward"]
    assert all(detail.startswith("a known difference: onnx.reference") for detail in details)


@pytest.mark.parametrize("name", sorted(NEEDS))
def test_what_is_not_installed_says_how_to_install_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(BackendMissing, match=f"pip install {NEEDS[name][0]}"):
        verify(planned(SMALL[0]), against=name)
    assert REGISTERED[name].module.startswith("convcli.backends.")


def test_onnxruntimes_known_differences_are_still_there() -> None:
    pytest.importorskip("onnxruntime")
    padded = ConvTranspose(axes=axes((1,), dilation=2, output_padding=1), out_channels=1)
    around = Conv(axes=axes((1,)), out_channels=1, padding_mode="circular")
    right = ConvTranspose(axes=axes((1,), dilation=2, stride=2, output_padding=1), out_channels=1)
    layers: list[Named] = [(padded, (1, 1, 2)), (around, (0, 1, 1)), (right, (1, 1, 2)), (around, (1, 1, 1))]
    outcome = verify(planned(*layers), against="onnxruntime", dtypes=("float32",))
    assert [str(layer.status) for layer in outcome.layers] == ["unsupported", "unsupported", "passed", "passed"]


def test_a_difference_is_known_for_its_versions_and_layers_alone() -> None:
    known = DIFFERENCES[0]
    x = (4, 5, 6)
    layer = grouped(4, bias=True).settled(x)
    assert difference_known("onnx-reference", {"onnx": "1.23.2"}, layer, x, (1,)) == known.reason
    assert not difference_known("onnx-reference", {"onnx": "1.24.0"}, layer, x, (1,))
    assert not difference_known("onnxruntime", {"onnx": "1.23.2"}, layer, x, (1,))
    other = Conv(axes=axes((3, 2)), out_channels=4, groups=2).settled(x)
    assert not difference_known("onnx-reference", {"onnx": "1.23.2"}, other, x, (1,))


@pytest.mark.parametrize(
    ("method", "status", "expected"),
    [
        ("exact", Status.FAILED, Status.UNSUPPORTED),
        ("exact", Status.ERROR_MISMATCH, Status.UNSUPPORTED),
        ("exact", Status.PASSED, Status.FAILED),
        ("bound", Status.PASSED, Status.PASSED),
        ("exact", Status.SKIPPED, Status.SKIPPED),
    ],
)
def test_a_difference_that_vanished_is_a_fault(method: str, status: Status, expected: Status) -> None:
    check = Check("forward", method, status, "float64", detail="as it was")
    assert excused(check, "for a reason").status is expected
    assert excused(check, "") == check


def test_a_library_that_is_there_is_found() -> None:
    assert all(find_spec(REGISTERED[name].module) for name in NEEDS)


@pytest.mark.parametrize("name", sorted({"onnxruntime", "onnx-reference", "jax"}))
def test_what_is_timed_is_the_layer(name: str) -> None:
    """A prepared call gives what `forward` gives: bit for bit, but for jax, which compiles it as a whole."""
    for library in NEEDS[name]:
        pytest.importorskip(library)
    side: Any = backend(name)
    compared = 0
    for layer, shape in PLANE:
        (case,) = planned((layer, shape)).steps
        if difference_known(name, side.versions(), case.layer, case.x, case.batch):
            continue
        arrays = data(case.layer, case.batch, case.x, How((), "float32", 1, 1.0))
        try:
            expected = side.forward(case.layer, arrays)
        except Unsupported:
            continue
        found = side.prepared(case.layer, arrays)()
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
        compared += 1
    assert compared >= 9


def test_jax_times_the_gradients() -> None:
    pytest.importorskip("jax")
    jax: Any = backend("jax")
    compared = 0
    for layer, shape in PLANE:
        (case,) = planned((layer, shape)).steps
        arrays = data(case.layer, case.batch, case.x, How((), "float64", 1, 1.0, grad=True))
        dy = arrays.pop("dy")
        try:
            found = jax.prepared(case.layer, arrays, dy)()
        except Unsupported:
            continue
        for place, gradient in ours.backward(case.layer, arrays, dy).items():
            np.testing.assert_allclose(found[place], gradient, rtol=1e-9, atol=1e-9, err_msg=place)
        compared += 1
    assert compared >= 9


@pytest.mark.parametrize("name", sorted({"onnxruntime", "onnx-reference", "jax"}))
def test_bench_times_what_is_installed(name: str) -> None:
    for library in NEEDS[name]:
        pytest.importorskip(library)
    network = spelled_network(["Conv2d(2, 4, 3)", "SeparableConv2d(4, 2, 3)"])
    network.input = (1, 2, 9, 9)
    found = bench(network, against=(name,), seconds=0.01)
    assert (found.exit_code, found.sides, found.totals.layers) == (0, ("numpy", name), 2)
    lacking = bench(network, against=(name,), seconds=0.01, grad=True)
    assert lacking.exit_code == (0 if name == "jax" else 3)
