"""`convcli explain` as users run it: what it prints, and what it says when it cannot."""

from __future__ import annotations

import csv
import io
import json

import pytest
from cli_runs import INPUT, SAMPLES, STEM, run

SMALL = ("Conv2d(1, 1, 2, bias=False)", "-i", "1,1,3,3")
TWO = ("Conv2d(1, 2, 2)", "ReLU()", "-i", "1,1,3,3")


def test_the_output_size_is_told_step_by_step() -> None:
    told = run("explain", STEM, *INPUT).out
    assert "out (H, W) = floor((size + before + after - span) / stride) + 1\n" in told
    assert "  = floor((224 + 3 + 3 - 7) / 2) + 1\n  = floor(223 / 2) + 1\n  = 112\n" in told
    assert "= 118013952" in told


def test_the_matrix_is_drawn_as_it_is_in_every_format_for_people() -> None:
    row = "  y00 w00 w01   . w10 w11   .   .   .   .\n"
    assert row in run("explain", *SMALL).out
    assert row in run("explain", *SMALL, "--format", "markdown").out
    assert row in run("explain", *SMALL, "--color", "always", env={"COLUMNS": "50"}).out


def test_json_and_csv_hold_every_formula() -> None:
    layer = json.loads(run("explain", *SMALL, "--format", "json").out)["reports"][0]["layers"][0]
    steps = [(section["title"], step["of"]) for section in layer["sections"] for step in section["steps"]]
    rows = list(csv.DictReader(io.StringIO(run("explain", *SMALL, "--format", "csv").out)))
    assert [(row["section"], row["of"]) for row in rows] == steps
    assert ("MACs", "macs") in steps


def test_one_layer_of_a_network_and_one_of_its_cells() -> None:
    told = run("explain", str(SAMPLES / "worked" / "gridding.yaml"), "--layer", "second", "--cell", "0,1").out
    assert told.startswith("second  Conv2d")
    assert "output cell [0, 1]" in told
    assert "\nfirst  Conv2d" not in told
    assert "holes made by" in told


def test_some_sections_of_those_layers_that_have_them() -> None:
    whole = json.loads(run("explain", *TWO, "--format", "json").out)["reports"][0]["layers"]
    some = json.loads(run("explain", *TWO, "--format", "json", "--section", "matrix").out)["reports"][0]["layers"]
    assert [(layer["name"], len(layer["sections"])) for layer in some] == [("conv2d_1", 1)]
    assert some[0]["sections"][0] in whole[0]["sections"]
    parts = ("SeparableConv1d(2, 3, 3)", "-i", "1,2,5", "--section", "groups", "--section", "pointwise")
    told = run("explain", *parts).out
    assert "separableconv1d_1/depthwise  Conv1d" in told
    assert "separableconv1d_1/pointwise  Conv1d" in told
    assert "\nMACs\n" not in told


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ((), "no layer to work on"),
        (("Conv2d(4, 6, 5, dilation=2)", "-i", "1,4,8,8"), "floor((8 + 0 + 0 - 9) / 1) + 1, where 8 - 9 is below 0"),
        (("Conv2d(4, 6, 3, groups=3)", "-i", "1,4,8,8"), "4 mod 3 = 1"),
        (("ConvTranspose1d(4, 6, 3, padding=4)", "-i", "1,4,3"), "= (3 - 1) * 1 - 4 - 4 + 3 + 0 = -3"),
        (("ConvTranspose1d(4, 6, 3, output_padding=4)", "-i", "1,4,3"), "max(1, 1) = 1"),
        ((*TWO, "--layer", "relu"), "relu_2"),
        ((*TWO, "--cell", "0,0"), "--layer"),
        ((*TWO, "--layer", "relu_2", "--cell", "9"), "--cell"),
        ((*SMALL, "--cell", "2,0"), "0 to 1"),
        ((*SMALL, "--section", "weather"), "output size, parameters, MACs"),
        ((*SMALL, "--cell", "0"), "does not fit 2 axes"),
        ((*SMALL, "--cell", "here"), "is no cell"),
    ],
)
def test_what_is_wrong_ends_with_2_and_says_why(argv: tuple[str, ...], said: str) -> None:
    ran = run("explain", *argv)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err


def test_the_formula_of_what_is_wrong_is_told_by_explain_alone() -> None:
    wrong = ("Conv2d(4, 6, 5, dilation=2)", "-i", "1,4,8,8")
    assert "floor(" in run("explain", *wrong).err
    assert "floor(" not in run("shape", *wrong).err


def test_a_kernel_of_any_size_is_explained_as_fast() -> None:
    told = run("explain", "Conv1d(1, 1, 1000000000, padding=500000000)", "-i", "1,1,1000000").out
    assert "pairs (L) = 1000001000000: counted in closed form" in told
    copied = "Conv3d(1, 1, 1001, padding=500, dilation=3, padding_mode='replicate')"
    assert run("explain", copied, "-i", "1,1,2001,2001,2001").code == 0
    assert run("explain", "ConvTranspose1d(1, 1, 1000000, stride=100000, dilation=3)", "-i", "1,1,10000").code == 0
