"""Regions: samples where mmcv's formula has them, and the cells that the kernel really reads."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from picture_elements import cells, check, circles, elements, frames, step_of

from convcli import SpecError, kernels
from convcli.pictures.asked import Asked
from convcli.pictures.regions import drawn
from convcli.pictures.scene import Film, Scene

SHAPE = (2, 3, 12, 10)


def layer(ratio: int) -> str:
    return f"DeformRoIPool(output_size=(2, 3), spatial_scale=0.5, sampling_ratio={ratio}, gamma=0.2, modulated=True)"


@pytest.mark.parametrize("ratio", [0, 1, 3])
@pytest.mark.parametrize("seed", range(4))
def test_samples_and_cells_are_those_of_the_formula_and_of_the_kernel(tmp_path: Path, ratio: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    x1, y1 = random.uniform(-2, 10, 2)
    rois = np.array([[1, x1, y1, x1 + random.uniform(3, 12), y1 + random.uniform(3, 12)]])
    offset, mask = random.normal(0, 1, (1, 2, 2, 3)), random.random((1, 1, 2, 3))
    path = tmp_path / "given.npz"
    np.savez(path, rois=rois, offset=offset, mask=mask)
    film = drawn(step_of(layer(ratio), SHAPE), Asked(animate=True, offsets=str(path)))
    assert isinstance(film, Film)
    check(film)
    start = rois[0, [2, 1]] * 0.5 - 0.5
    size = (rois[0, [4, 3]] - rois[0, [2, 1]]) * 0.5
    basis = np.eye(120).reshape(1, 120, 12, 10)  # a channel for each cell: what reads it is not 0
    read = kernels.deform_roi_pool(
        basis, rois * [0, 1, 1, 1, 1], offset, output_size=(2, 3), spatial_scale=0.5, sampling_ratio=ratio, gamma=0.2
    )
    for (row, column), one in zip(product(range(2), range(3)), frames(elements(film)), strict=True):
        grid = [ratio or int(np.ceil(long / bins)) for long, bins in zip(size, (2, 3), strict=True)]
        axes = []
        for axis, place in enumerate((row, column)):
            step = size[axis] / (2, 3)[axis]
            first = start[axis] + place * step + 0.2 * size[axis] * offset[0, 1 - axis, row, column]
            axes.append([first + (sample + 0.5) * step / grid[axis] for sample in range(grid[axis])])
        expected = [place for place in product(*axes) if -1 <= place[0] <= 12 and -1 <= place[1] <= 10]
        shown = [(float(point.attrib["data-row"]), float(point.attrib["data-column"])) for point in circles(one)]
        near = [place for place in shown if -1 <= place[0] <= 12 and -1 <= place[1] <= 10]
        assert np.allclose(near, expected, atol=1e-3)
        assert all(
            float(point.attrib["data-mask"]) == pytest.approx(mask[0, 0, row, column], abs=1e-4)
            for point in circles(one)
        )
        assert set(cells(one, "read")) == {
            (int(i), int(j)) for i, j in np.argwhere(read[0, :, row, column].reshape(12, 10))
        }


@pytest.mark.parametrize("offsets", ["zero", "random"])
@pytest.mark.parametrize("type_", ["DeformRoIPoolPack", "ModulatedDeformRoIPoolPack"])
@pytest.mark.parametrize("shape", [(1, 4, 9, 9), (2, 4, 1, 1), (1, 4, 5000, 3)])
def test_packs_and_maps_of_every_size(type_: str, offsets: str, shape: tuple[int, ...]) -> None:
    text = f"{type_}(output_size=7, output_channels=4, num_rois=3)"
    picture = drawn(step_of(text, shape), Asked(offsets=offsets, animate=offsets == "zero"))
    check(picture)
    base = picture.base if isinstance(picture, Film) else picture
    assert "1 of 3 regions is drawn" in base.notes
    assert len(circles(elements(picture))) > 0


def test_boxes_without_samples_and_offsets_that_are_no_numbers(tmp_path: Path) -> None:
    for name, box, moved in (
        ("empty", [0, 5, 5, 5, 2], 0.0),
        ("far", [0, 1, 1, 9, 9], 1e30),
        ("nan", [0, 1, 1, 9, 9], np.nan),
    ):
        path = tmp_path / f"{name}.npz"
        np.savez(path, rois=np.array([box], float), offset=np.full((1, 2, 2, 3), moved), mask=np.ones((1, 1, 2, 3)))
        scene = drawn(step_of(layer(0), SHAPE), Asked(offsets=str(path)))
        assert isinstance(scene, Scene)
        check(scene)
        assert not cells(elements(scene), "read")


def test_other_layers_have_no_regions() -> None:
    with pytest.raises(SpecError, match="pools no regions"):
        drawn(step_of("Conv2d(1, 1, 3)", (1, 1, 5, 5)), Asked())
    with pytest.raises(SpecError, match="is not known"):
        drawn(step_of(layer(1), SHAPE), Asked(offsets="some"))
