"""A backend that goes wrong is a row in the report: the right one, and the other layers go on."""

from __future__ import annotations

import pytest
from verify_fakes import WRONG
from verify_layers import Named, check, planned, statuses

from convcli.axis import axes
from convcli.layers import Conv
from convcli.verifier.run import verify
from convcli.verifier.verdict import Status
from convcli.verifier.workers import processes_starved

KILLED = "out_of_memory" if processes_starved() is None else "crashed"  # where the system tells one from the other


def layer(outs: int) -> Named:
    """A convolution that a fake does wrong, or right."""
    return Conv(axes=axes((3, 2), padding=1), out_channels=outs), (2, 4, 7, 8)


LAYERS = planned(layer(3), layer(WRONG), layer(4))


@pytest.mark.parametrize(
    ("fake", "status", "words"),
    [
        ("crashing", "crashed", "SIGSEGV"),
        ("leaving", "crashed", "code 3"),
        ("killed", KILLED, "SIGKILL"),
        ("starving", "out_of_memory", "8 EiB"),
        ("hanging", "timed_out", "1.5 seconds"),
        ("refusing", "error_mismatch", "ValueError: no such layer"),
        ("quitting", "error_mismatch", "SystemExit"),
        ("objects", "error_mismatch", "TypeError"),
        ("lacking", "unsupported", "not in this house"),
        ("misshapen", "shape_mismatch", "(2, 5, 7, 8)"),
        ("widened", "failed", "float32"),
        ("zeros", "failed", "elements differ"),
        ("nan", "failed", "verify_fakes:nan nan"),
    ],
)
def test_each_becomes_its_row(fake: str, status: str, words: str) -> None:
    timeout = 1.5 if fake == "hanging" else 60.0
    outcome = verify(LAYERS, against=f"verify_fakes:{fake}", dtypes=("float32",), timeout=timeout, explain=False)
    assert statuses(outcome) == ["passed", status, "passed"]
    details = [c.detail for c in outcome.layers[1].checks if str(c.status) == status]
    assert len(details) == 3  # the exact stage, twice, and the bound stage
    assert words in " ".join(details)
    assert outcome.exit_code == (3 if status == "unsupported" else 1)


def test_one_wrong_element_is_found_and_named() -> None:
    outcome = verify(LAYERS, against="verify_fakes:one_off", explain=False)
    for dtype in ("float64", "float32"):
        exact = check(outcome.layers[1], "forward", "exact", dtype)
        assert exact.status is Status.FAILED
        assert (exact.worst_index, exact.max_abs_error) == ((0, 1, 2, 3), 2.0)
        assert "1 elements differ, 0.2%" in exact.detail
        bound = check(outcome.layers[1], "forward", "bound", dtype)
        assert (bound.status, bound.worst_index) == (Status.FAILED, (0, 1, 2, 3))
        assert bound.bound_ratio is not None
        assert bound.bound_ratio > 1000
    assert "--dtype float64" in outcome.layers[1].repro


@pytest.mark.parametrize("fake", ["half", "bfloat"])
def test_inputs_cut_to_fewer_bits_do_not_pass(fake: str) -> None:
    """Small integers do not notice; long ones do, and the bound of ordinary floats does."""
    outcome = verify(LAYERS, against=f"verify_fakes:{fake}", explain=False)
    assert statuses(outcome) == ["passed", "failed", "passed"]
    mantissa = check(outcome.layers[1], "mantissa", "exact", "float32")
    assert mantissa.status is Status.FAILED
    named = {"half": "float16", "bfloat": "bfloat16 (7 bits after the point), cut off"}[fake]
    assert mantissa.detail.endswith(f"verify_fakes:{fake}: x and weight and bias cut to {named}")
    for dtype in ("float64", "float32"):
        assert check(outcome.layers[1], "forward", "bound", dtype).status is Status.FAILED


def test_what_rounds_by_nature_is_inexact() -> None:
    """Only where the backend says so; otherwise the same numbers are a failure."""
    assert statuses(verify(LAYERS, against="verify_fakes:rounding", dtypes=("float32",), explain=False))[1] == "failed"
    outcome = verify(LAYERS, against="verify_fakes:owned", dtypes=("float32",), explain=False)
    assert statuses(outcome) == ["passed", "inexact", "passed"]
    assert outcome.exit_code == 0


def test_output_that_a_backend_prints_is_not_the_reports(capfd: pytest.CaptureFixture[str]) -> None:
    outcome = verify(LAYERS, against="verify_fakes:talking", dtypes=("float32",), explain=False)
    out, err = capfd.readouterr()
    assert statuses(outcome) == ["passed"] * 3
    assert out == ""
    assert "garbage" in err


def test_a_backend_cannot_change_the_other_sides_data() -> None:
    assert statuses(verify(LAYERS, against="verify_fakes:scribbling", explain=False)) == ["passed"] * 3


def test_crash_after_crash() -> None:
    """More deaths than workers, at once: every one is its layer's own."""
    layers = planned(*((Conv(axes=axes((k,)), out_channels=WRONG), (2, 4, 9)) for k in range(1, 6)), layer(3))
    outcome = verify(layers, against="verify_fakes:crashing", dtypes=("float32",), jobs=2, explain=False)
    assert statuses(outcome) == ["crashed"] * 5 + ["passed"]
