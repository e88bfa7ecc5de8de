"""Every kind of layer, in every rank and dtype, on both sides."""

from __future__ import annotations

import pytest
from verify_layers import SMALL, planned

from convcli.backends import numpy as ours
from convcli.layers import KINDS
from convcli.verifier.run import verify
from convcli.verifier.verdict import LayerVerdict, Outcome

KINDS_BY_NAME = sorted(kind.kind for kind in KINDS)
LAYERS = planned(*SMALL)
NAMES = [step.name for step in LAYERS.steps]


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    """One run over all of them."""
    return verify(LAYERS)


@pytest.mark.parametrize("kind", KINDS_BY_NAME)
def test_every_kind_is_covered(kind: str) -> None:
    """A new kind needs a small layer here, and an adapter on our side."""
    assert kind in {layer.kind for layer, _ in SMALL}, f"add a {kind} to verify_layers.SMALL"
    assert kind in ours.FORWARD, f"convcli.backends.numpy has no {kind}"


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
    assert made >= {("forward", dtype) for dtype in ("float64", "float32")}
    for c in verdict.checks:
        assert str(c.status) == "passed", (c.name, c.detail)
        if c.method == "exact" and c.name == "forward":
            assert c.detail.startswith("exact: proven")
            assert c.max_abs_error == 0
        if c.method == "bound":
            assert c.bound_ratio is not None
            assert 0 <= c.bound_ratio <= 1


@pytest.mark.torch
def test_the_environment_is_named(outcome: Outcome) -> None:
    assert {"numpy", "torch", "torchvision", "threads", "python", "platform"} <= set(outcome.environment)
    assert outcome.exit_code == 0
    assert outcome.summary.passed == len(SMALL)
