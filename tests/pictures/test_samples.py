"""Sampling points, from the SVG's circles: where torchvision's formula says, with the mask that was given."""

from __future__ import annotations

from itertools import product
from math import ceil, floor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn import Case, deform
from laws import examples, holds
from picture_elements import Cell, cells, check, circles, elements, frames, step_of

from convcli import SpecError
from convcli.pictures.asked import Asked
from convcli.pictures.samples import drawn
from convcli.pictures.scene import Film, Scene

LAYER = "DeformConv2d(4, 4, 3, padding=1, dilation=2, modulated=True, offset_groups=2)"
SHAPE = (2, 4, 9, 8)


@examples(25, 300)
def test_without_offsets_the_points_are_the_taps(count: int) -> None:
    def law(case: Case) -> None:
        step = step_of(case.layer, case.input)
        film = drawn(step, Asked(animate=True, offsets="zero"))
        assert isinstance(film, Film)
        check(film)
        (vertical, horizontal), groups = step.layer.axes, case.fields["offset_groups"]
        for (row, column), one in zip(product(*map(range, step.y[1:])), frames(elements(film)), strict=True):
            regular = [
                (row * vertical.stride - vertical.before + i * vertical.dilation,
                 column * horizontal.stride - horizontal.before + j * horizontal.dilation)
                for i in range(vertical.kernel)
                for j in range(horizontal.kernel)
            ]  # fmt: skip
            places = [(float(c.attrib["data-row"]), float(c.attrib["data-column"])) for c in circles(one)]
            assert places == regular * groups
            inside = {(i, j) for i, j in regular if 0 <= i < step.x[1] and 0 <= j < step.x[2]}
            assert set(cells(one, "read")) == inside
            assert len(cells(one, "regular")) == len(regular)

    holds(law, deform(), count)


def saved(path: Path, **arrays: Any) -> str:
    np.savez(path, **arrays)
    return str(path)


def test_given_offsets_move_the_points_and_masks_fade_them(tmp_path: Path) -> None:
    step = step_of(LAYER, SHAPE)
    needed = step.layer.side_inputs(step.x)
    random = np.random.default_rng(0)
    offset, mask = random.normal(0, 1, (2, *needed["offset"])), random.random((2, *needed["mask"]))
    scene = drawn(step, Asked(cell=(3, 2), offsets=saved(tmp_path / "given.npz", offset=offset, mask=mask)))
    check(scene)
    found = circles(elements(scene))
    assert len(found) == 18
    read: set[Cell] = set()
    for number, one in enumerate(found):
        group, tap = divmod(number, 9)
        i, j = divmod(tap, 3)
        y = 3 - 1 + 2 * i + offset[0, 18 * group + 2 * tap, 3, 2]
        x = 2 - 1 + 2 * j + offset[0, 18 * group + 2 * tap + 1, 3, 2]
        assert float(one.attrib["data-row"]) == pytest.approx(y, abs=1e-4)
        assert float(one.attrib["data-column"]) == pytest.approx(x, abs=1e-4)
        assert float(one.attrib["data-mask"]) == pytest.approx(mask[0, number, 3, 2], abs=1e-4)
        corners = product({floor(y), ceil(y)}, {floor(x), ceil(x)})
        read |= {(row, column) for row, column in corners if 0 <= row < 9 and 0 <= column < 8}
    assert set(cells(elements(scene), "read")) == read


def test_points_that_are_far_away_or_no_numbers_are_counted_not_drawn(tmp_path: Path) -> None:
    step = step_of("DeformConv2d(1, 1, 3, padding=1)", (1, 1, 6, 6))
    offset = np.zeros(step.layer.side_inputs(step.x)["offset"], np.float32)
    offset[0], offset[2], offset[4] = 1e30, np.nan, np.inf
    scene = drawn(step, Asked(offsets=saved(tmp_path / "far.npz", offset=offset)))
    assert isinstance(scene, Scene)
    check(scene)
    assert len(circles(elements(scene))) == 6
    assert "3 of 9 points lie outside of what is drawn" in scene.notes


def test_random_offsets_are_those_of_the_seed_however_many_cells_are_drawn() -> None:
    step = step_of(LAYER, SHAPE)
    one, other, film = (
        drawn(step, asked) for asked in (Asked(cell=(0, 0)), Asked(cell=(0, 0), seed=1), Asked(animate=True))
    )
    assert isinstance(film, Film)
    places = [[dict(c.attrib)["data-row"] for c in circles(elements(picture))] for picture in (one, other)]
    first = [c.attrib["data-row"] for c in circles(frames(elements(film))[0])]
    assert places[0] == first != places[1]


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"mask": np.zeros(3)}, "no array 'offset'"),
        ({"offset": np.zeros((36, 2, 2)), "mask": np.zeros((18, 2, 2))}, r"has the shape \[36, 2, 2\]"),
        ({"offset": np.full((36, 7, 6), "x"), "mask": np.zeros((18, 7, 6))}, "no real numbers"),
        ({"offset": np.full((36, 7, 6), None), "mask": np.zeros((18, 7, 6))}, "cannot read"),
        ({"offset": np.zeros((36, 7, 6))}, "no array 'mask'"),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path: Path, arrays: dict[str, Any], told: str) -> None:
    path = saved(tmp_path / "wrong.npz", **arrays)
    with pytest.raises(SpecError, match=told):
        drawn(step_of(LAYER, SHAPE), Asked(offsets=path))


@pytest.mark.parametrize(("name", "told"), [("missing.npz", "cannot read"), ("words", "is not known")])
def test_what_is_no_file_is_refused(tmp_path: Path, name: str, told: str) -> None:
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 not a zip")
    for path in (tmp_path / name, tmp_path / ("broken.npz" if name == "missing.npz" else name)):
        with pytest.raises(SpecError, match=told):
            drawn(step_of(LAYER, SHAPE), Asked(offsets=str(path)))


def test_other_layers_have_no_offsets() -> None:
    with pytest.raises(SpecError, match="has no offsets"):
        drawn(step_of("Conv2d(1, 1, 3)", (1, 1, 6, 6)), Asked())
