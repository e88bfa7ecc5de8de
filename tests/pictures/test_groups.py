"""Channels as blocks: every line is a pair of channels that a weight connects, and every such pair has its line."""

from __future__ import annotations

from itertools import product

import pytest
from drawn import Case, convs, separable, transposed
from hypothesis import strategies as st
from laws import examples, holds
from picture_elements import check, elements, lines, rects, step_of

from convcli import SpecError
from convcli.pictures.asked import Asked
from convcli.pictures.groups import drawn


@examples(40, 1000)
def test_each_line_is_a_weight_between_two_channels(count: int) -> None:
    def law(case: Case) -> None:
        step = step_of(case.layer, case.input)
        scene = drawn(step, Asked())
        check(scene)
        root = elements(scene)
        parts = step.layer.parts(step.x) or [None]
        for part in parts:
            layer, x = (part.layer, part.x) if part else (step.layer, step.x)
            inputs, outputs, groups = x[0], layer.output(x)[0], layer.groups  # type: ignore[attr-defined]
            pairs = {
                (i, o)
                for i, o in product(range(inputs), range(outputs))
                if i * groups // inputs == o * groups // outputs
            }
            weight = layer.tensors(x)["weight"]
            assert len(pairs) == weight[0] * weight[1]
            found = [
                (int(one.attrib["data-from"]), int(one.attrib["data-to"]))
                for one in lines(root)
                if one.attrib["data-part"] == (part.name if part else "layer")
            ]
            assert sorted(found) == sorted(pairs)
        assert len(rects(root, None, "input")) == step.x[0]
        assert len(rects(root, None, "output")) == step.y[0]

    holds(law, st.one_of(convs(), transposed(), separable()), count)


@pytest.mark.parametrize(
    ("layer", "channels", "blocks", "told"),
    [
        ("Conv2d(512, 512, 3, groups=512)", 512, 12, "12 of the 512 channels of the input are drawn"),
        ("Conv2d(64, 128, 3, groups=4)", 64, 4, ""),
        ("Conv2d(64, 128, 3)", 64, 1, ""),
        ("Conv2d(256, 256, 3, groups=32)", 256, 1, "8 of the 256 channels"),
        ("SeparableConv2d(128, 256, 3)", 128, 12, "12 of the 256 channels of the output are drawn"),
    ],
)
def test_of_many_channels_groups_or_a_part_are_drawn(layer: str, channels: int, blocks: int, told: str) -> None:
    scene = drawn(step_of(layer, (1, channels, 9, 9)), Asked())
    check(scene)
    if blocks > 1:
        assert len(rects(elements(scene), None, "input")) == blocks
    assert any(told in note for note in scene.notes)


def test_what_has_no_groups_is_refused() -> None:
    with pytest.raises(SpecError, match="has no groups"):
        drawn(step_of("MaxPool2d(2)", (1, 4, 8, 8)), Asked())
    with pytest.raises(SpecError, match="do not move"):
        drawn(step_of("Conv2d(4, 4, 3)", (1, 4, 8, 8)), Asked(animate=True))
