"""A backward of the user's own: passed when it is right, named when it is broken, and named when it cheats."""

from __future__ import annotations

import pytest
import verify_backwards
import verify_kernels
from verify_layers import SMALL, planned, statuses

import convcli
from convcli.errors import SpecError
from convcli.verifier.own import target
from convcli.verifier.run import verify
from convcli.verifier.verdict import Check, LayerVerdict, Outcome

LAYER, SHAPE = "Conv2d(3, 2, 3, padding=1)", (1, 3, 9, 9)
FAKES = "verify_backwards"


def outcome_of(name: str, layer: str = LAYER, **options: object) -> Outcome:
    """The fake of that name on one layer, in single precision, without a forward."""
    settings = {"dtypes": ("float32",), **options}
    fake = getattr(verify_backwards, name)
    return convcli.verify_kernel(None, layer, SHAPE, backward=fake, **settings)  # type: ignore[arg-type]


def found(verdict: LayerVerdict, name: str, method: str = "") -> Check:
    """The check of that name."""
    return next(c for c in verdict.checks if c.name == name and method in {"", c.method})


def test_a_right_backward_passes_every_check() -> None:
    outcome = outcome_of("right")
    (verdict,) = outcome.layers
    assert outcome.exit_code == 0
    assert [(c.name, c.method, str(c.status)) for c in verdict.checks] == [
        ("grad_input", "exact", "passed"),
        ("grad_weight", "exact", "passed"),
        ("grad_bias", "exact", "passed"),
        ("grad_input", "bound", "passed"),
        ("grad_weight", "bound", "passed"),
        ("grad_bias", "bound", "passed"),
        ("backward_conduct", "equal", "passed"),
        ("backward_views", "exact", "passed"),
        ("backward_other_inputs", "exact", "passed"),
    ]
    assert found(verdict, "grad_weight").detail.startswith("exact: proven")
    assert found(verdict, "backward_other_inputs").detail == "right on 9x9, 6x6, 6x9, 2 of 6x6, 68x70"
    assert outcome.environment["against"] == f"{FAKES}:right"
    assert verdict.repro.endswith(f"--seed 0 --kernel-grad {FAKES}:right")


def test_a_forward_and_its_backward_in_one_run() -> None:
    both = {"backward": verify_backwards.right, "dtypes": ("float32",)}
    outcome = convcli.verify_kernel(verify_kernels.right, LAYER, SHAPE, **both)  # type: ignore[arg-type]
    (verdict,) = outcome.layers
    assert str(verdict.status) == "passed"
    assert {c.name for c in verdict.checks} >= {"forward", "conduct", "grad_weight", "backward_conduct"}
    assert verdict.repro.endswith(f"--kernel verify_kernels:right --kernel-grad {FAKES}:right")


@pytest.mark.parametrize("name", ["plain", "no_bias"])
def test_a_plain_function_is_asked_for_what_it_takes(name: str) -> None:
    assert statuses(outcome_of(name, "Conv2d(3, 2, (3, 2), stride=(2, 1), bias=False)")) == ["passed"]


@pytest.mark.parametrize(
    ("fake", "status", "check", "words"),
    [
        ("turned", "failed", "grad_weight", "expected"),
        ("no_bias", "failed", "grad_bias", "no_bias gave no such gradient"),
        ("short", "error_mismatch", "grad_input", "the kernel returned tuple of 2, not (dx, dw, db)"),
        ("bare", "error_mismatch", "grad_input", "the kernel returned ndarray, not (dx, dw, db)"),
        ("listed", "error_mismatch", "grad_input", "the kernel returned list, not an array"),
        ("widened", "failed", "grad_bias", "gave float64, expected float32"),
        ("refusing", "error_mismatch", "grad_weight", "ValueError: not today"),
        ("by_shape", "failed", "grad_input", "it gives the answer of an earlier call to new data"),
        ("sharing", "failed", "backward_conduct", "changes when it is called again: a buffer that calls share"),
        ("writing", "failed", "backward_conduct", "it writes to its input dy"),
        ("view", "failed", "backward_conduct", "it returns a view of its input x"),
        ("one_image", "failed", "backward_other_inputs", "right on one image only"),
        ("strides_ignored", "failed", "backward_views", "right on contiguous arrays, wrong on views (strides ignored)"),
    ],
)
def test_what_is_wrong_is_named(fake: str, status: str, check: str, words: str) -> None:
    outcome = outcome_of(fake)
    assert statuses(outcome) == [status]
    assert found(outcome.layers[0], check).status.bad
    assert words in found(outcome.layers[0], check).detail
    assert outcome.exit_code == 1


def test_only_the_gradient_that_is_wrong_fails() -> None:
    (verdict,) = outcome_of("turned").layers
    assert {c.name for c in verdict.checks if c.name.startswith("grad") and c.status.bad} == {"grad_weight"}


def test_right_on_whole_numbers_alone() -> None:
    check = found(outcome_of("whole_only").layers[0], "grad_input", "bound")
    assert str(check.status) == "failed"
    assert check.detail.startswith("right on whole numbers, wrong on others")


def test_what_it_does_not_have_is_unsupported() -> None:
    outcome = outcome_of("lacking")
    assert statuses(outcome) == ["unsupported"]
    assert outcome.exit_code == 3
    grouped = outcome_of("plain", "Conv2d(3, 3, 3, groups=3)").layers[0]
    assert "it takes no groups, and the layer has groups=3" in found(grouped, "grad_input").detail


def test_every_kind_of_layer_part_by_part() -> None:
    """convcli's own stand in for the user's, and are seen through: so every comparison was made and held."""
    layers = SMALL[::3]
    outcome = verify(planned(*layers), kernel_grad=target(f"{FAKES}:everything", role="backward"), dtypes=("float32",))
    for layer in outcome.layers:
        assert str(layer.status) == "mistrusted"
        bad = [c for c in layer.checks if c.status.bad and not c.detail.startswith("it calls convcli.kernels")]
        assert not bad, bad
    names = {check.name for layer in outcome.layers for check in layer.checks}
    assert len({layer.type for layer in outcome.layers}) >= 4
    assert {"grad_offset", "grad_depthwise.weight", "grad_deform_conv.offset"} <= names


@pytest.mark.torch
def test_autograd_through_a_function_of_torchs() -> None:
    fine = convcli.verify_kernel(
        verify_backwards.tensors, LAYER, SHAPE, grad=True, arrays="torch", dtypes=("float32",)
    ).layers[0]
    assert str(fine.status) == "passed"
    assert {"forward", "grad_input", "grad_weight", "grad_bias"} <= {c.name for c in fine.checks}


@pytest.mark.torch
@pytest.mark.parametrize(
    ("fake", "words"), [("wrong_function", "elements differ"), ("cut_off", "is cut off from its inputs")]
)
def test_autograd_that_is_wrong(fake: str, words: str) -> None:
    function = getattr(verify_backwards, fake)
    verdict = convcli.verify_kernel(function, LAYER, SHAPE, grad=True, arrays="torch", dtypes=("float32",)).layers[0]
    assert found(verdict, "forward").status.good
    assert words in found(verdict, "grad_weight").detail
    assert found(verdict, "grad_weight").status.bad
    assert verdict.repro.endswith("--arrays torch --grad")


@pytest.mark.torch
def test_a_backward_of_tensors() -> None:
    assert statuses(outcome_of("tensor_gradients", arrays="torch")) == ["passed"]


def test_nothing_differentiates_numpy_arrays() -> None:
    with pytest.raises(SpecError, match="--kernel-grad names the backward"):
        convcli.verify_kernel(verify_kernels.right, LAYER, SHAPE, grad=True)
    with pytest.raises(SpecError, match="neither a function nor its backward"):
        convcli.verify_kernel(None, LAYER, SHAPE)


def test_a_callable_without_a_place_is_repeated_from_python() -> None:
    turned = verify_kernels.Counting(1)
    outcome = convcli.verify_kernel(turned, LAYER, SHAPE, backward=verify_backwards.right, dtypes=("float32",))
    assert outcome.layers[0].repro == (
        "convcli.verify_kernel(Counting, 'Conv2d(3, 2, 3, padding=1)', (1, 3, 9, 9), seed=0, dtypes=('float32',), "
        "backward='verify_backwards:right')"
    )
