"""Shrinking: relatives are legal and smaller, what is found still fails, and nothing smaller beside it does."""

from __future__ import annotations

from math import prod

import pytest
from drawn import Case as Drawn
from drawn import cases
from hypothesis import given, settings

from convcli.plan import Step, plan
from convcli.spec.build import network
from convcli.verifier.explain.shrink import fields, shrunk, smaller
from convcli.verifier.mutants import planned
from convcli.verifier.repro import respelled


def planned_from(drawn: Drawn) -> Step:
    (step,) = plan(network({"input": list(drawn.input), "layers": [{**drawn.fields, "name": "one"}]}, "")).steps
    return step


@settings(max_examples=60)
@given(cases())
def test_relatives_are_legal_smaller_and_can_be_typed(drawn: Drawn) -> None:
    step = planned_from(drawn)
    before = fields(step)
    for relative in smaller(step):
        after = fields(relative)
        assert respelled(relative) or relative.layer.parts(relative.x)
        waiting = {name for name in after if name.startswith(("before", "after")) and after["auto"]}
        assert all(abs(after[name]) <= abs(value) for name, value in before.items() if name not in waiting)
        assert relative != step
        assert len(relative.x) == len(step.x)
        assert len(relative.batch) == len(step.batch)


@settings(max_examples=40)
@given(cases())
def test_what_always_fails_becomes_one_product(drawn: Drawn) -> None:
    step = planned_from(drawn)
    found = shrunk(step, lambda _: True)
    assert found.complete
    smallest = fields(found.step)
    for name, value in smallest.items():
        floor = 0 if name.partition(".")[0] in {"before", "after", "output_padding"} else 1
        assert value <= max(floor, 1), (name, smallest)
    assert prod(found.step.y[1:]) == 1


def test_it_keeps_what_the_failure_needs() -> None:
    start = planned("Conv2d(12, 18, (3, 5), stride=(2, 3), padding=(1, 2), dilation=2, groups=6)", (4, 12, 40, 50))

    def fails(step: Step) -> bool:
        first, second = step.layer.axes
        return second.stride > first.stride and step.x[0] >= 4 and step.layer.tensors(step.x)["weight"][1] == 2

    found = shrunk(start, fails).step
    assert fails(found)
    assert (found.x, found.batch) == ((4, 1, 1), (1,))
    assert [(axis.kernel, axis.stride, axis.dilation, axis.before) for axis in found.layer.axes] == [
        (1, 1, 1, 0),
        (1, 2, 1, 0),
    ]


def test_it_is_cut_off_by_time_and_says_so() -> None:
    start = planned("Conv2d(12, 18, 3)", (4, 12, 40, 50))
    found = shrunk(start, lambda _: True, seconds=0.0)
    assert (found.step, found.tries, found.complete) == (start, 0, False)


@pytest.mark.parametrize("text", ["mb3_ic4oc6_ih9oh3kh3sh2ph0", "mb1_g2ic4oc6_iw9ow2kw3sw2pw1dw1"])
def test_a_layer_that_crops_shrinks_to_what_can_be_typed(text: str) -> None:
    from convcli.spec.build import spelled_network

    (step,) = plan(spelled_network([text])).steps
    assert all(respelled(relative) for relative in smaller(step))
    assert shrunk(step, lambda found: any(axis.after < 0 for axis in found.layer.axes)).complete
