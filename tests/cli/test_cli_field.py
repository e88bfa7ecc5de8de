"""`receptive-field` as it is typed."""

from __future__ import annotations

import json

import pytest
from cli_runs import SAMPLES, STEM, run

GRIDDING = str(SAMPLES / "worked" / "gridding.yaml")


def test_one_layer_by_its_name_at_one_cell() -> None:
    ran = run("receptive-field", GRIDDING, "--layer", "second", "--at", "0,3", "--format", "json")
    assert ran.code == 0
    (found,) = json.loads(ran.out)["reports"]
    assert (found["layer"], found["at"]) == ("second", [0, 3])
    assert [axis["touched"] for axis in found["axes"]] == [[[0, 5, 2]], [[3, 5, 2]]]


def test_the_picture_shows_the_holes() -> None:
    ran = run("receptive-field", GRIDDING)
    assert "H, W: #.#.#.#.#.#.# (9 to 21)" in ran.out.splitlines()
    assert ran.out.splitlines()[-1] == "1 network: gridding in third[9, 9]"


def test_layers_spelled_out_and_several_networks() -> None:
    assert "no gridding" in run("receptive-field", STEM, "-i", "1,3,224,224").out
    both = run("receptive-field", GRIDDING, str(SAMPLES / "worked" / "no-gridding.yaml"))
    assert both.out.splitlines()[-1] == "2 networks: gridding in third[9, 9]"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--layer", "secnd"), "try: second"),
        (("--at", "1"), "does not fit 2 axes"),
        (("--at", "0,99"), "allowed: 0 to 18"),
        (("--at", "-1,2"), "is no cell"),
        (("--at", ""), "is no cell"),
        (("--at", "9" * 5000), "is no cell"),
    ],
)
def test_what_does_not_exist_is_refused(arguments: tuple[str, str], told: str) -> None:
    ran = run("receptive-field", GRIDDING, f"{arguments[0]}={arguments[1]}")
    assert (ran.code, ran.out) == (2, "")
    assert told in ran.err
