"""float16 and bfloat16: exact where the data fit, bounded where a bound exists, else skipped with the reason."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from verify_fakes import WRONG
from verify_layers import SMALL, Named, check, planned, statuses

from convcli.axis import axes
from convcli.layers import Conv
from convcli.verifier.formats import in_format, stored
from convcli.verifier.own import verify_kernel
from convcli.verifier.run import verify
from convcli.verifier.verdict import Outcome

CONV: Named = (Conv(axes=axes((3, 2), padding=1), out_channels=WRONG), (2, 4, 7, 8))
HALVES = ("float16", "bfloat16")
LAYERS = planned(*SMALL)
NAMES = [step.name for step in LAYERS.steps]
REASONS = ("no data without rounding", "roundings have no bound in ", "no exact coordinates in ")


@given(st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=False))
def test_bfloat16_is_single_precision_without_its_lower_half(number: float) -> None:
    x = np.array([number], np.float32)
    found = in_format(x, "bfloat16")
    assert found.dtype == stored("bfloat16") == "float32"
    assert not found.view(np.uint32) & 0xFFFF
    assert abs(found - x) <= 2.0**-8 * abs(x)


@pytest.mark.torch
def test_bfloat16_rounds_as_torch_does() -> None:
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).standard_normal(10_000).astype(np.float32)
    x[:100] = 1 + np.arange(100) * 2.0**-9  # ties among them
    assert np.array_equal(in_format(x, "bfloat16"), torch.from_numpy(x).bfloat16().float().numpy())


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    """One run over all of them."""
    pytest.importorskip("torch")
    return verify(LAYERS, grad=True, dtypes=HALVES)


@pytest.mark.torch
@pytest.mark.parametrize("name", NAMES)
def test_torch_passes_or_the_reason_is_told(outcome: Outcome, name: str) -> None:
    verdict = next(layer for layer in outcome.layers if layer.name == name)
    for c in verdict.checks:
        assert c.status.good or (c.status.idle and any(words in c.detail for words in (*REASONS, "not implemented"))), c
    if verdict.checks[0].dtype or "deform" not in name:
        for dtype in HALVES:
            assert check(verdict, "forward", "exact", dtype).detail.startswith("exact: proven")
            assert str(check(verdict, "forward", "bound", dtype).status) == "passed"
            assert str(check(verdict, "mantissa", "exact", dtype).status) == "passed"
            assert str(check(verdict, "grad_input", "exact", dtype).status) == "passed"


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize(("fake", "status"), [("faithful", "passed"), ("one_off", "failed"), ("widened", "failed")])
def test_other_backends_have_float16_and_bfloat16_when_they_say_so(fake: str, status: str, dtype: str) -> None:
    found = verify(planned(CONV), against=f"verify_fakes:{fake}", dtypes=(dtype,))
    assert statuses(found) == [status if dtype == "float16" else "unsupported"]
    if dtype == "bfloat16":
        told = check(found.layers[0], "forward", "exact", dtype).detail
        assert told.endswith("it has no bfloat16 here, for numpy has none")


def test_where_a_half_has_no_bound_it_says_so() -> None:
    layer: Named = (Conv(axes=axes((1, 1)), out_channels=3), (2, 300, 2, 2))
    (verdict,) = verify(planned(layer), against="verify_fakes:faithful", dtypes=("float16",)).layers
    assert str(check(verdict, "forward", "bound", "float16").status) == "passed"
    layer = (layer[0], (1, 2048, 2, 2))
    (verdict,) = verify(planned(layer), against="verify_fakes:faithful", dtypes=("float16",)).layers
    skipped = check(verdict, "forward", "bound", "float16")
    assert (str(skipped.status), skipped.detail) == ("skipped", "2049 roundings have no bound in float16")
    assert str(verdict.status) == "passed"


def right(x: Any, weight: Any, bias: Any = None, *, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
    """torch's own, for symmetric padding."""
    from torch.nn import functional

    pads = [before for before, _ in padding]
    return functional.conv2d(x, weight, bias, stride, pads, dilation, groups)


def single(x: Any, weight: Any, bias: Any = None, **options: Any) -> Any:
    """It forgets to go back to the inputs' precision."""
    del options["padding_mode"]
    return right(x.float(), weight.float(), bias.float(), **options)


@pytest.mark.torch
def test_a_kernel_of_tensors_has_bfloat16_too() -> None:
    pytest.importorskip("torch")
    spelling, shape = "Conv2d(4, 6, 3, padding=1)", (2, 4, 9, 7)
    found = verify_kernel(right, spelling, shape, arrays="torch", dtypes=HALVES)
    assert statuses(found) == ["passed"], [c.detail for c in found.layers[0].checks if not c.status.good]
    assert {c.dtype for c in found.layers[0].checks if c.name == "forward"} == set(HALVES)
    wide = verify_kernel(single, spelling, shape, arrays="torch", dtypes=("bfloat16",))
    assert "the kernel returned a tensor of float32, not of bfloat16" in wide.layers[0].checks[0].detail
    assert wide.exit_code == 1
    numpy = verify_kernel(right, spelling, shape, dtypes=("bfloat16",))
    assert statuses(numpy) == ["unsupported"]
    assert "numpy has no bfloat16" in numpy.layers[0].checks[0].detail
