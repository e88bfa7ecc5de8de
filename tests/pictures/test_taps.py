"""The picture of taps, counted in the SVG's own elements and held against the layer's axes."""

from __future__ import annotations

from itertools import product
from math import prod

import pytest
from drawn import Case, convs, transposed
from laws import examples, holds
from picture_elements import cells, check, elements, frames, is_part, step_of

from convcli.pictures.asked import Asked
from convcli.pictures.scene import Film, Scene
from convcli.pictures.taps import drawn
from convcli.plan import Step


def film_of(step: Step) -> Film:
    film = drawn(step, Asked(animate=True))
    assert isinstance(film, Film)
    return film


def still_of(step: Step, *cell: int) -> Scene:
    scene = drawn(step, Asked(cell=cell or None))
    assert isinstance(scene, Scene)
    return scene


@examples(40, 1500)
def test_a_convolution_has_all_its_cells_and_taps(count: int) -> None:
    def law(case: Case) -> None:
        step = step_of(case.layer, case.input)
        layer, space, out = step.layer, step.x[1:], step.y[1:]
        film = film_of(step)
        check(film)
        root = elements(film)
        padded = [size + max(axis.before, 0) + max(axis.after, 0) for axis, size in zip(layer.axes, space, strict=True)]
        if is_part(film):
            return
        inputs, steps = cells(root, "input"), frames(root)
        assert len(set(inputs)) == len(inputs) == prod(space)
        assert len(cells(root, "padding")) == prod(padded) - prod(space)
        assert len(cells(root, "output")) == len(steps) == prod(out)
        assert [place for one in steps for place in cells(one, "written")] == [
            place if case.rank > 1 else (0, *place) for place in product(*map(range, out))
        ]
        taps = prod(axis.kernel for axis in layer.axes)
        assert all(len(cells(one, "tap")) + len(cells(one, "tap-padding")) == taps for one in steps)
        real = sum(len(cells(one, "tap")) for one in steps)
        assert real == prod(axis.pairs(i, o) for axis, i, o in zip(layer.axes, space, out, strict=True))

    holds(law, convs(), count)


@examples(25, 500)
def test_the_taps_of_a_transposed_layer_are_the_products_that_it_keeps(count: int) -> None:
    def law(case: Case) -> None:
        step = step_of(case.layer, case.input)
        out = step.y[1:]
        if prod(out) > 200:
            return
        film = film_of(step)
        check(film)
        if is_part(film):
            return
        kept = prod(axis.pairs(o, i) for axis, i, o in zip(step.layer.axes, step.x[1:], out, strict=True))
        root = elements(film)
        assert len(cells(root, "output")) == len(film.frames)
        assert sum(len(cells(one, "tap")) for one in frames(root)) == kept
        assert not cells(root, "tap-padding")

    holds(law, transposed(), count)


@pytest.mark.parametrize(
    ("layer", "shape", "cell"),
    [
        ("Conv2d(3, 8, 3, dilation=50)", (1, 3, 224, 224), (99, 3)),
        ("Conv2d(3, 8, 7, stride=2, padding=3)", (1, 3, 224, 224), (111, 50)),
        ("Conv1d(1, 1, 1000000000)", (1, 1, 10**12), (10**11,)),
        ("ConvTranspose1d(1, 1, 3, stride=1000000)", (1, 1, 10**9), (10**11,)),
        ("Conv3d(1, 1, 3, padding=1)", (1, 1, 64, 64, 64), (31, 32, 33)),
        ("AdaptiveAvgPool2d(1)", (1, 8, 500, 500), (0, 0)),
    ],
)
def test_of_big_maps_a_part_is_drawn_and_the_picture_says_so(
    layer: str, shape: tuple[int, ...], cell: tuple[int, ...]
) -> None:
    scene = still_of(step_of(layer, shape), *cell)
    check(scene)
    assert len(scene.marks) < 10_000
    assert any("a part of the" in note for note in scene.notes)
    assert len(cells(elements(scene), "written")) == 1


def test_padding_may_differ_at_the_ends() -> None:
    step = step_of("Conv2d(1, 1, (2, 2), padding='same')", (1, 1, 3, 3))
    places = cells(elements(still_of(step)), "padding")
    assert sorted(places) == [(0, 3), (1, 3), (2, 3), (3, 0), (3, 1), (3, 2), (3, 3)]


@pytest.mark.parametrize(
    ("mode", "copied"), [("zeros", set()), ("reflect", {2, 1}), ("replicate", {0}), ("circular", {3, 4})]
)
def test_padding_that_repeats_cells_shows_which(mode: str, copied: set[int]) -> None:
    step = step_of(f"Conv1d(1, 1, 3, padding=2, padding_mode='{mode}')", (1, 1, 5))
    root = elements(still_of(step, 0))
    assert {column for _, column in cells(root, "read")} == copied
    assert cells(root, "tap-padding") == [(0, -2), (0, -1)]
