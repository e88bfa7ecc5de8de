"""`draw` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path
from unittest import mock
from xml.etree import ElementTree as ET

import pytest
from cli_runs import SAMPLES, run

import convcli
from convcli.pictures.scene import Film, Scene

LAYER = ("draw", "Conv2d(3, 8, 3, stride=2, padding=1)", "-i", "1,3,8,8")
GRIDDING = str(SAMPLES / "worked" / "gridding.yaml")
RESNET = str(SAMPLES / "networks" / "resnet50.yaml")


def test_a_layer_on_standard_output() -> None:
    ran = run(*LAYER, "--cell", "1,2")
    assert (ran.code, ran.err) == (0, "")
    assert "\x1b" not in ran.out
    assert ran.out.count("\N{FULL BLOCK}") == 9 * 2 + 2 + 2


@pytest.mark.parametrize(
    ("flag", "env", "coloured"),
    [
        ("auto", {}, False),
        ("always", {}, True),
        ("always", {"NO_COLOR": "1"}, True),
        ("auto", {"FORCE_COLOR": "1"}, True),
        ("auto", {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        ("never", {"FORCE_COLOR": "1"}, False),
    ],
)
def test_colours(flag: str, env: dict[str, str], coloured: bool) -> None:
    assert ("\x1b[" in run(*LAYER, "--color", flag, env=env).out) == coloured


def test_svg_on_standard_output() -> None:
    ran = run(*LAYER, "--format", "svg", "--animate", "--theme", "dark")
    assert ET.fromstring(ran.out).get("role") == "img"  # noqa: S314 - our own
    assert "prefers-color-scheme" not in ran.out


def test_files_of_every_kind_at_once(tmp_path: Path) -> None:
    paths = [tmp_path / f"picture.{ending}" for ending in ("svg", "png", "gif", "txt")]
    ran = run(*LAYER, *(word for path in paths for word in ("-o", str(path))))
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    assert [path.read_bytes()[:4] for path in paths] == [b"<svg", b"\x89PNG", b"GIF8", b"conv"]


def test_without_pillow_nothing_is_written_and_the_exit_code_is_3(tmp_path: Path) -> None:
    with mock.patch.dict("sys.modules", {"PIL": None}):
        ran = run(*LAYER, "-o", str(tmp_path / "a.svg"), "-o", str(tmp_path / "a.png"))
    assert (ran.code, ran.out) == (3, "")
    assert 'pip install "convcli[pictures]"' in ran.err
    assert not list(tmp_path.iterdir())


def test_a_layer_of_a_network_by_its_name() -> None:
    assert run("draw", RESNET, "--layer", "layer2.0.conv2").out.startswith("layer2.0.conv2 (Conv2d)\n")
    assert run("draw", RESNET).out.startswith("conv1 (Conv2d)\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--layer", "conv"), "no layer is named 'conv'"),
        (("--cell", "8,8"), "allowed: 0 to 3"),
        (("--cell", "1"), "does not fit 2 axes"),
        (("--cell", "-1,2"), "is no cell"),
        (("--picture", "tap"), "allowed: taps, zero-insertion, groups, samples"),
        (("--picture", "samples"), "has no offsets"),
        (("--animate",), "text cannot move"),
        (("--animate", "-o", "picture.png"), "cannot move"),
        (("-o", "picture.jpg"), "ends in .jpg"),
        (("-o", "picture"), "has no ending"),
        (("--format", "json"), "allowed: text, svg"),
        (("--theme", "blue"), "allowed: auto, light, dark"),
        (("--color", "blue"), "allowed: auto, always, never"),
    ],
)
def test_what_cannot_be_drawn_is_refused(arguments: tuple[str, ...], told: str) -> None:
    words = (f"{arguments[0]}={arguments[1]}",) if arguments[0] == "--cell" else arguments  # -1,2 is no flag
    ran = run(*LAYER, *words)
    assert (ran.code, ran.out) == (2, "")
    assert told in ran.err


def test_one_step_and_all_of_them_are_two_questions() -> None:
    ran = run(*LAYER, "--cell", "0,0", "--animate", "--format", "svg")
    assert (ran.code, ran.out) == (2, "")
    assert "--cell is one step" in ran.err


def test_a_layer_without_space_has_no_picture() -> None:
    ran = run("draw", "Linear(3, 4)", "-i", "1,3")
    assert (ran.code, ran.out) == (2, "")
    assert "has no spatial axes" in ran.err


def test_pictures_of_networks(tmp_path: Path) -> None:
    paths = [tmp_path / f"field.{ending}" for ending in ("svg", "png", "gif", "txt")]
    files = [word for path in paths for word in ("-o", str(path))]
    ran = run("draw", GRIDDING, "--picture", "field", "--layer", "second", "--cell", "0,0", *files)
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    assert "receptive field of second[0, 0] (Conv2d)" in paths[0].read_text()
    assert [path.read_bytes()[:4] for path in paths[:3]] == [b"<svg", b"\x89PNG", b"GIF8"]
    ran = run("draw", GRIDDING, "--picture", "costs")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("costs of gridding\n3 layers, 1x1x31x31 -> 1x1x19x19\n\nMACs: 14.57 k\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--picture", "field", "--cell", "99,0"), "--cell: 99 is no cell of 'third'; allowed: 0 to 18"),
        (("--picture", "field", "--layer", "secnd"), "is named 'secnd'; try: second"),
        (("--picture", "field", "--animate", "--format", "svg"), "--picture field has no steps"),
        (("--picture", "costs", "--layer", "second"), "costs are those of all layers"),
        (("--picture", "costs", "--cell", "0,0"), "costs are those of all layers"),
        (("--picture", "cost"), "samples, regions, field, costs"),
    ],
)
def test_what_cannot_be_drawn_of_a_network_is_refused(arguments: tuple[str, ...], told: str) -> None:
    ran = run("draw", GRIDDING, *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert told in ran.err


def test_the_library_has_the_same_pictures(tmp_path: Path) -> None:
    path = tmp_path / "net.json"
    path.write_text(json.dumps({"input": [1, 3, 8, 8], "layers": ["Conv2d(3, 8, 3, stride=2, padding=1)"]}))
    scene = convcli.draw(convcli.load(path), cell=(1, 2))
    assert isinstance(scene, Scene)
    assert scene.title == "conv2d_1 (Conv2d)"
    film = convcli.draw(convcli.load(path), picture="taps", animate=True)
    assert isinstance(film, Film)
    assert len(film.frames) == 16
