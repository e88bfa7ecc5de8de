"""What is legal: neighbours that lie just beyond it, and what becomes of a side that takes too much or too little."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from drawn import CASES, Case
from hypothesis import note
from laws import examples, holds
from verify_layers import SMALL, Named, check, planned

from convcli.backends import numpy as ours
from convcli.layers import Layer, OnRoIs
from convcli.verifier.job import primitives
from convcli.verifier.neighbours import Neighbour, answer, neighbours, said
from convcli.verifier.run import verify
from convcli.verifier.verdict import Status

Accepts = Callable[..., Any]
SLIDING = [kind for kind in CASES if not issubclass(kind, OnRoIs)]  # what RoI pooling refuses, no library says


def of(layer: Layer, x: tuple[int, ...]) -> list[Neighbour]:
    """The neighbours of all parts."""
    return [one for _, part, shape in primitives(layer, x) for one in neighbours(part, shape)]


def shape_of(found: Any) -> Any:
    """None for a refusal, whatever its words."""
    return None if isinstance(found, str) else found


def agreed(accepts: Accepts | None = None) -> Callable[[Case], None]:
    """The law that all who may be asked give each neighbour one answer."""

    def law(case: Case) -> None:
        for asked in of(case.layer, case.x):
            note(f"{asked}")
            answers = {}
            if accepts:
                answers["theirs"] = answer(lambda: accepts(asked.type, asked.fields, asked.shapes))  # noqa: B023
            if asked.unseen != "layer":
                answers["layer"] = answer(lambda: said(asked))  # noqa: B023
            if asked.unseen != "kernel":
                answers["kernel"] = answer(lambda: ours.accepts(asked.type, asked.fields, asked.shapes))  # noqa: B023
            assert len({shape_of(found) for found in answers.values()}) < 2, (asked.moved, answers)

    return law


@pytest.mark.torch
@pytest.mark.parametrize("kind", SLIDING, ids=lambda kind: str(kind.kind))
@examples(15, 400)
def test_every_neighbour_is_refused_exactly_where_torch_refuses_it(kind: type[Layer], count: int) -> None:
    from convcli.backends import torch

    holds(agreed(torch.accepts), CASES[kind](), count)


@pytest.mark.parametrize("kind", SLIDING, ids=lambda kind: str(kind.kind))
def test_our_layers_and_our_kernels_agree(kind: type[Layer]) -> None:
    holds(agreed(), CASES[kind](), 25)


@pytest.mark.parametrize(
    "named", [named for named in SMALL if named[0].axes], ids=lambda named: f"{named[0].kind}-{len(named[0].axes)}d"
)
def test_the_relative_is_legal_and_most_of_its_neighbours_are_not(named: Named) -> None:
    (step,) = planned(named).steps
    found = of(step.layer, step.x)
    answers = [(one, answer(lambda: ours.accepts(one.type, one.fields, one.shapes))) for one in found]  # noqa: B023
    assert all(not isinstance(shape, str) for one, shape in answers if one.moved == "nothing")
    refused = {one.moved for one, shape in answers if isinstance(shape, str)}
    assert len(refused) >= 15
    assert all(len(one.shapes["x"]) < 7 and max(one.shapes["x"]) < 40 for one in found)


def test_a_side_that_takes_what_is_illegal_is_found() -> None:
    outcome = verify(planned(SMALL[0], SMALL[7]), against="verify_fakes:trusting", dtypes=())
    for layer, words in zip(outcome.layers, ("padding=(-1,)", "dilation=(-1,)"), strict=True):
        found = check(layer, "legality", "equal")
        assert found.status is Status.ERROR_MISMATCH
        assert words in found.detail
        assert "convcli.kernels refuses it (SpecError" in found.detail
        assert "trusting makes" in found.detail
    assert outcome.exit_code == 1


def test_a_backend_need_not_say_what_it_refuses() -> None:
    outcome = verify(planned(SMALL[0]), against="convcli.verifier.rounding:wide", dtypes=("float32",))
    assert check(outcome.layers[0], "legality", "equal").status is Status.UNSUPPORTED
    assert outcome.layers[0].status is Status.PASSED
