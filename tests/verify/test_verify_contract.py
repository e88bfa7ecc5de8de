"""Every kind of layer, in every rank and dtype, on both sides."""

from __future__ import annotations

import pytest
from verify_layers import SMALL, planned

from convcli.backends import numpy as ours
from convcli.layers import KINDS, Layer, Shape
from convcli.verifier.gradient_fills import GRADIENTS
from convcli.verifier.run import verify
from convcli.verifier.verdict import LayerVerdict, Outcome

KINDS_BY_NAME = sorted(kind.kind for kind in KINDS)
LAYERS = planned(*SMALL)
NAMES = [step.name for step in LAYERS.steps]


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    """One run over all of them."""
    return verify(LAYERS, grad=True, prove=True)


@pytest.mark.parametrize("kind", KINDS_BY_NAME)
def test_every_kind_is_covered(kind: str) -> None:
    """A new kind needs a small layer here, and an adapter on our side."""
    assert kind in {layer.kind for layer, _ in SMALL}, f"add a {kind} to verify_layers.SMALL"
    assert kind in ours.FORWARD, f"convcli.backends.numpy has no {kind}"
    assert kind in ours.BACKWARD, f"convcli.backends.numpy has no gradients of {kind}"
    assert kind in GRADIENTS, f"convcli.verifier.gradient_fills has no {kind}"


@pytest.mark.torch
@pytest.mark.parametrize("kind", KINDS_BY_NAME)
def test_torch_has_every_kind(kind: str) -> None:
    torch = pytest.importorskip("convcli.backends.torch")
    assert kind in torch.RUN, f"convcli.backends.torch has no {kind}"
    assert kind in torch.MODULES, f"convcli.backends.torch has no module for {kind}"


@pytest.mark.torch
@pytest.mark.parametrize("name", NAMES)
def test_it_passes_against_torch(outcome: Outcome, name: str) -> None:
    verdict: LayerVerdict = next(layer for layer in outcome.layers if layer.name == name)
    assert str(verdict.status) == "passed", "\n".join(f"{c.name} {c.status} {c.detail}" for c in verdict.checks)
    made = {(c.name, c.dtype) for c in verdict.checks}
    assert made >= {("shape", ""), ("params", ""), ("macs", "")}
    if next(step for step in LAYERS.steps if step.name == name).layer.kind != "deform_roi_pool":
        assert ("macs_nonpad", "") in made  # a pool multiplies no weights, which an execution could count
    assert made >= {("forward", dtype) for dtype in ("float64", "float32")}
    assert made >= {("mantissa", "float32"), ("adjoint", "float64")}
    for c in verdict.checks:
        assert str(c.status) == "passed", (c.name, c.detail)
        if c.method == "exact" and c.name.startswith(("forward", "grad")):
            assert "exact: proven" in c.detail
            assert c.max_abs_error == 0
        if c.method == "bound":
            assert c.bound_ratio is not None
            assert 0 <= c.bound_ratio <= 1


@pytest.mark.torch
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_array_has_a_gradient_that_is_checked(outcome: Outcome, name: str, dtype: str) -> None:
    """The whole layer's bit for bit, each part's within their bounds."""
    verdict = next(layer for layer in outcome.layers if layer.name == name)
    step = next(step for step in LAYERS.steps if step.name == name)
    found = {
        method: {c.name for c in verdict.checks if (c.method, c.dtype) == (method, dtype) and c.name.startswith("grad")}
        for method in ("exact", "bound")
    }
    arrays = _arrays(step.layer, step.x)
    mantissa = {"grad_mantissa"} if dtype == "float32" else set()
    assert found["exact"] == {f"grad_{array}" for array in arrays} | mantissa
    parts = [(f"{part.name}.", part.layer, part.x) for part in step.layer.parts(step.x)] or [("", step.layer, step.x)]
    assert found["bound"] == {f"grad_{prefix}{array}" for prefix, layer, x in parts for array in _arrays(layer, x)}


def _arrays(layer: Layer, x: Shape) -> tuple[str, ...]:
    """What has a gradient: boxes have none."""
    return ("input", *(name for name in layer.side_inputs(x) if name != "rois"), *layer.tensors(x))


@pytest.mark.torch
def test_the_environment_is_named(outcome: Outcome) -> None:
    assert {"numpy", "torch", "torchvision", "threads", "python", "platform"} <= set(outcome.environment)
    assert outcome.exit_code == 0
    assert outcome.summary.passed == len(SMALL)
