"""The heat map of what a cell sees, counted in the SVG's own elements and held against the footprint and the paths."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import strategies as st
from laws import examples, holds
from picture_elements import SVG, cells, check, elements, rects
from random_networks import random_network
from test_renderers import contrast, luminance

import convcli
from convcli.pictures.field_map import MOST, field_scene
from convcli.pictures.heat import Scale, counted, told_paths
from convcli.pictures.roles import GROUND, HEAT, ROLES
from convcli.pictures.scene import Scene
from convcli.pictures.svg import svg
from convcli.pictures.terminal import blocks
from convcli.plan import Plan, plan
from convcli.receptive.footprint import Graph
from convcli.receptive.paths import paths
from convcli.spec.build import network

Cell = tuple[int, ...]


def stack(*rates: int, size: int = 31, rank: int = 2, padding: int = 0) -> Plan:
    """Convolutions of 3 taps at these dilation rates, one behind the other."""
    conv = {"type": f"Conv{rank}d", "out_channels": 1, "kernel_size": 3, "padding": padding}
    layers = [{**conv, "name": f"rate{rate}_{n}", "dilation": rate} for n, rate in enumerate(rates)]
    return plan(network({"input": [1, 1, *[size] * rank], "layers": layers}, "stack"))


def heated(root: ET.Element) -> dict[Cell, int]:
    """(row, column) -> paths, of the cells in colour."""
    return {
        (int(one.attrib["data-row"]), int(one.attrib["data-column"])): int(one.attrib["data-paths"])
        for one in rects(root, None)
        if one.attrib["class"].startswith("heat-")
    }


def outline(root: ET.Element) -> ET.Element:
    (found,) = [one for one in root.iter(f"{SVG}rect") if one.get("data-of") == "closed form"]
    return found


def flat(found: dict[Cell, int]) -> dict[Cell, int]:
    """Cells of a strip as (0, column)."""
    return {((0, *cell) if len(cell) == 1 else cell): count for cell, count in found.items()}


@examples(60, 800)
def test_every_cell_that_is_seen_has_a_box_with_its_paths(count: int) -> None:
    def law(seed: int) -> None:
        planned = random_network(seed)
        target = len(planned.steps) - 1
        (record,) = convcli.receptive_field(planned, layer=planned.steps[target].name).reports
        scene = field_scene(planned, layer=planned.steps[target].name)
        check(scene)
        root = elements(scene)
        found = paths(Graph(planned), target, [axis.at or 0 for axis in record.axes])
        expected = found.cells() if found else {}
        if len(record.axes) == 3:
            (panel,) = {one.attrib["data-panel"] for one in rects(root, None)}
            depth = int(panel.split()[-1])
            expected = {cell[1:]: paths for cell, paths in expected.items() if cell[0] == depth}
            assert expected or not record.cells
        else:
            assert len(expected) == record.cells
            assert len(cells(root, "hole")) == record.holes
        assert heated(root) == flat(expected)
        space = (planned.network.input or ())[2:][-2:]
        inside = len(heated(root)) + len(cells(root, "hole")) + len(cells(root, "input"))
        if not any("a part of the input" in note for note in scene.notes):
            assert inside == prod(space)

    holds(law, st.integers(0, 10**6), count)


def test_three_rates_of_2_leave_holes_and_their_cure_is_told() -> None:
    planned = stack(2, 2, 2)
    scene = field_scene(planned)
    root = elements(scene)
    (record,) = convcli.receptive_field(planned).reports
    assert len(heated(root)) == record.cells == 49
    assert len(cells(root, "hole")) == record.holes == 120
    assert heated(root) == {(9 + 2 * i, 9 + 2 * j): a * b for i, a in enumerate(ONCE) for j, b in enumerate(ONCE)}
    told = " ".join(scene.notes)
    assert "120 of the 169 cells" in told
    assert "71.0%" in told
    assert "gridding along rows, columns: rate2_0 (dilation 2), rate2_1 (dilation 2), rate2_2 (dilation 2)" in told
    assert "no holes along rows, columns with dilation: rate2_0 1, rate2_1 2, rate2_2 3" in told
    assert "729 paths in all" in told


ONCE = (1, 3, 6, 7, 6, 3, 1)  # (1 + x + x^2)^3


def test_rates_1_2_5_leave_none() -> None:
    scene = field_scene(stack(1, 2, 5))
    root = elements(scene)
    assert len(heated(root)) == 17 * 17
    assert not cells(root, "hole")
    assert scene.notes[0].startswith("no holes")


def test_numbers_are_in_the_cells_where_they_fit_and_in_their_titles_always() -> None:
    scene = field_scene(stack(2, 2, 2))
    root = elements(scene)
    written = [text.text for text in root.iter(f"{SVG}text") if (text.get("class") or "").startswith("ink-")]
    assert sorted(map(int, filter(None, written))) == sorted(heated(root).values())
    titles = {one.findtext(f"{SVG}title") for one in rects(root, None)}
    assert {"row 15, column 15: 49 paths", "row 10, column 9: no path", "row 9, column 9: 1 path"} <= titles
    wide = elements(field_scene(stack(1, 2, 5, 7, size=64)))
    assert not [text for text in wide.iter(f"{SVG}text") if (text.get("class") or "").startswith("ink-")]
    assert any((one.findtext(f"{SVG}title") or "").endswith("paths") for one in rects(wide, None))


@pytest.mark.parametrize("rank", [1, 2])
def test_the_closed_form_is_an_outline_that_goes_over_the_border(rank: int) -> None:
    scene = field_scene(stack(1, 1, size=8, rank=rank, padding=1), cell=(0,) * rank)
    root = elements(scene)
    box, unit = outline(root), 30
    across = 5 * unit
    assert (float(box.attrib["width"]), float(box.attrib["height"])) == (across, across if rank == 2 else unit)
    first = next(one for one in rects(root, None) if one.get("data-row") == "0" and one.get("data-column") == "0")
    assert float(first.attrib["x"]) - float(box.attrib["x"]) == pytest.approx(2 * unit)
    assert len(heated(root)) == 3**rank
    assert cells(root, "padding")
    assert "closed form" in scene.captions[1]


def test_a_field_far_larger_than_its_input_is_cut_and_says_so() -> None:
    scene = field_scene(stack(40, 40, size=8, padding=40))
    check(scene)
    root = elements(scene)
    assert any("further out than what is drawn" in note for note in scene.notes)
    assert sum(heated(root).values()) == 1  # every other tap lies outside
    assert "rows -76 to 84" in scene.captions[1]
    assert not any("closed form" in words for _, words in scene.legend)
    half = field_scene(stack(9, 9, size=12, padding=9), cell=(11, 11))  # rows -7 to 29
    sides = [one for one in elements(half).iter(f"{SVG}line") if one.get("class") == "box"]
    assert not sides
    flat_ = field_scene(stack(2, 2, size=12, padding=2), cell=(0, 6))  # rows -4 to 4, columns 2 to 10
    sides = [one for one in elements(flat_).iter(f"{SVG}line") if one.get("class") == "box"]
    assert len(sides) == 3  # the one above is too far away


def test_large_fields_are_drawn_in_boxes_of_several_cells() -> None:
    layers = [{"type": "Conv2d", "out_channels": 1, "kernel_size": 31, "padding": 15} for _ in range(6)]
    planned = plan(network({"input": [1, 1, 120, 100], "layers": layers}, "wide"))
    scene = field_scene(planned)
    check(scene)
    root = elements(scene)
    (record,) = convcli.receptive_field(planned).reports
    boxes = rects(root, None)
    assert sum(int(one.get("data-cells", 0)) for one in boxes) == record.cells == 12_000
    assert max(len({one.get(key) for one in boxes}) for key in ("data-row", "data-column")) <= MOST
    counts = paths(Graph(planned), 5, (60, 50))
    assert counts is not None
    assert max(heated(root).values()) == max(counts.counts)
    assert any("a box is 4x4 cells" in note for note in scene.notes)
    assert any(text.text == "96" for text in root.iter(f"{SVG}text"))  # indices are those of cells


def test_of_three_axes_the_middle_slice_is_drawn() -> None:
    scene = field_scene(stack(1, 1, size=9, rank=3))
    root = elements(scene)
    assert heated(root) == {
        (2 + i, 2 + j): 3 * a * b for i, a in enumerate((1, 2, 3, 2, 1)) for j, b in enumerate((1, 2, 3, 2, 1))
    }
    assert scene.notes[-1] == "input slice 4 is drawn, the middle one of those that are seen: 25 of the 125 cells"


def test_the_last_layer_whose_cells_have_a_place_is_the_usual_one() -> None:
    layers = ["Conv2d(1, 2, 3)", "Flatten()", "Linear(72, 5)"]
    planned = plan(network({"input": [1, 1, 8, 8], "layers": layers}, "net"))
    assert field_scene(planned).title == "receptive field of conv2d_1[3, 3] (Conv2d)"
    whole = plan(network({"input": [1, 1, 8, 8], "layers": ["AdaptiveAvgPool2d(1)", "Flatten()", "Linear(1, 5)"]}, ""))
    assert len(heated(elements(field_scene(whole, layer="linear_3")))) == 64


def test_what_cannot_be_told_is_refused() -> None:
    with pytest.raises(convcli.SpecError, match="no spatial axis"):
        field_scene(plan(network({"input": [1, 3], "layers": ["Linear(3, 4)"]}, "net")))
    with pytest.raises(convcli.SpecError, match=r"--cell.*is no cell"):
        field_scene(stack(1), cell=(99, 0))
    with pytest.raises(convcli.SpecError, match="no layer of stack is named 'rate'"):
        field_scene(stack(1), layer="rate")
    unseen = {"type": "ConvTranspose2d", "out_channels": 1, "kernel_size": 1, "stride": 2, "name": "sparse"}
    scene = field_scene(plan(network({"input": [1, 1, 3, 3], "layers": [unseen]}, "net")), cell=(1, 1))
    assert not heated(elements(scene))
    assert "no cell of the input is seen" in scene.notes


def test_a_map_of_32_x_32_takes_less_than_a_second() -> None:
    planned = stack(5, 2, 1, 4, 4, size=64)
    began = time.process_time()
    text = svg(field_scene(planned))
    assert time.process_time() - began < 1
    assert text.count('class="heat-') > 32 * 32


def test_numbers_that_are_too_long_to_be_written_are_rounded() -> None:
    scene = field_scene(stack(*[1] * 3_000, size=3, rank=1, padding=1))
    written = {one.get("data-paths") for one in rects(elements(scene), "heat-6")}
    assert written == {"1.06e+1148"}  # (1 + sqrt(2))^3000 / 2: the middle one of three cells
    check(scene)


def test_a_terminal_has_a_letter_for_each_class_and_the_holes() -> None:
    scene = field_scene(stack(2, 2, 2))
    rows = blocks(scene, plain=True).split("input\n")[1].split("\n\n")[0].splitlines()
    letters = [row.split() for row in rows[1:-1]]
    assert all(row.count("o") in {6, 13} for row in (" ".join(one).replace(".", "") for one in letters))
    assert "a 1 path  b 3 paths" in blocks(scene, plain=True)


@pytest.mark.parametrize("theme", [0, 1])
def test_heat_goes_from_the_ground_to_its_contrary_and_its_numbers_can_be_read(theme: int) -> None:
    paints = [(ROLES[f"heat-{n}"].light, ROLES[f"heat-{n}"].dark)[theme].fill for n in range(1, len(HEAT) + 1)]
    inks = [(ROLES[f"ink-{n}"].light, ROLES[f"ink-{n}"].dark)[theme].fill for n in range(1, len(HEAT) + 1)]
    assert all(contrast(ink, paint) >= 4.5 for ink, paint in zip(inks, paints, strict=True))
    assert all(contrast(one, other) >= 1.25 for one, other in pairwise(paints))
    distances = [abs(luminance(paint) - luminance(GROUND[theme].fill)) for paint in paints]
    assert distances == sorted(distances)  # without colour, too


COUNTS = st.lists(st.one_of(st.integers(1, 40), st.integers(1, 10**400)), min_size=1, max_size=40)


@examples(80, 2000)
def test_classes_are_in_order_and_the_legend_says_what_they_hold(count: int) -> None:
    def law(counts: Sequence[int]) -> None:
        scale = Scale(counts)
        ordered = [scale.role(one) for one in sorted(counts)]
        assert ordered == sorted(ordered)
        assert scale.role(max(counts)) == f"heat-{len(HEAT)}"
        legend: dict[str, Any] = dict(scale.legend())
        assert set(legend) == set(ordered)
        for one in counts:
            same = [other for other in counts if scale.role(other) == scale.role(one)]
            assert legend[scale.role(one)].endswith(counted(max(same)))

    holds(law, COUNTS, count)


def test_few_cells_can_have_half_of_the_paths() -> None:
    assert next(told_paths([1, 10, 1, 1])).startswith("13 paths in all, half of them to 1 of the cells")
    assert list(told_paths([1])) == ["1 path in all: a tap of every layer on the way, channels not counted"]
    assert not list(told_paths([]))


def test_it_is_one_of_the_pictures_of_the_library() -> None:
    scene = convcli.draw(stack(2, 2, 2), picture="field", cell=(0, 0))
    assert isinstance(scene, Scene)
    assert scene.title == "receptive field of rate2_2[0, 0] (Conv2d)"
    with pytest.raises(convcli.SpecError, match="has no steps"):
        convcli.draw(stack(2), picture="field", animate=True)
