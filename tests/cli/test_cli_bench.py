"""`bench` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_runs import run


def test_the_command_writes_its_record(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    layer = ("Conv2d(2, 3, 3)", "-i", "1,2,9,9")
    ran = run("bench", *layer, "--against", "none", "--method", "auto", "--method", "loops", "-o", str(file))
    assert (ran.code, ran.err) == (0, "")
    found = json.loads(file.read_text())
    assert (found["command"], found["sides"], found["clock"]) == ("bench", ["numpy", "numpy loops"], "CPU time")
    assert found["layers"][0]["ratios"]["numpy loops"] < 1
    assert "numpy takes" in ran.out


@pytest.mark.parametrize("form", ["csv", "markdown", "junit", "github", "html"])
def test_every_format_says_the_ratio_or_the_seconds(form: str) -> None:
    ran = run("bench", "Conv2d(2, 3, 3)", "-i", "1,2,9,9", "--against", "none", "--seconds", "0.01", "-f", form)
    assert ran.code == 0
    assert "conv2d_1" in ran.out or form == "github"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--method", "fast"), "'fast' is not known"),
        (("--against", "torhc"), "there is no backend 'torhc'"),
        (("--threads", "0"), "threads=0"),
        (("--seconds", "0"), "seconds=0.0 is too short"),
        (("--only", "x*"), "no layer is named 'x*'"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: tuple[str, ...], words: str) -> None:
    ran = run("bench", "Conv2d(2, 3, 3)", "-i", "1,2,9,9", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert words in ran.err
    assert "Traceback" not in ran.err


def test_a_method_of_the_gradients_is_timed_and_one_that_is_none_refused() -> None:
    layer = ("Conv2d(2, 3, 3)", "-i", "1,2,9,9", "--against", "none", "--grad", "--seconds", "0.01")
    ran = run("bench", *layer, "--method", "auto", "--method", "flipped", "--method", "taps", "-f", "csv")
    assert ran.code == 0
    head, _ = ran.out.splitlines()
    assert {"seconds.numpy", "seconds.numpy flipped", "seconds.numpy taps"} <= set(head.split(","))
    ran = run("bench", *layer, "--method", "winograd")
    assert (ran.code, ran.out) == (2, "")
    assert "no gradient has a method 'winograd'" in ran.err


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ("text", "UNSUPPORTED  deformconv2d_1\n  numpy im2col: method='im2col' is not known"),
        ("markdown", "| deformconv2d_1 | unsupported |"),
        ("json", '"status": "unsupported"'),
        ("csv", ",unsupported,"),
        ("junit", 'skipped="1"'),
        ("github", "::warning title=deformconv2d_1%3A unsupported::"),
    ],
)
def test_what_a_side_lacks_is_unsupported_in_every_format(form: str, words: str) -> None:
    layer = ("DeformConv2d(2, 3, 3)", "-i", "1,2,9,9", "--against", "none", "--seconds", "0.01")
    ran = run("bench", *layer, "--method", "auto", "--method", "im2col", "-f", form)
    assert ran.code == 3
    assert words in ran.out
    assert "fail" not in ran.out.lower().replace('failures="0"', "")


def test_a_journal_is_written_and_continued(tmp_path: Path) -> None:
    path, layer = tmp_path / "run.jsonl", ("Conv2d(2, 3, 3)", "-i", "1,2,9,9", "--against", "none", "--seconds", "0.01")
    ran = run("bench", *layer, "--output", str(path))
    assert (ran.code, ran.err) == (0, "")
    assert [json.loads(line).keys() & {"command", "index", "complete"} for line in path.read_text().splitlines()] == [
        {"command"},
        {"index"},
        {"complete"},
    ]
    again = run("bench", *layer, "--resume", str(path), "-f", "csv")
    assert (again.code, again.err) == (0, "")
    other = run("bench", *layer, "--resume", str(path), "--grad")
    assert (other.code, other.out) == (2, "")
    assert "gradients is False there and True here" in other.err
    verified = run("verify", "Conv2d(2, 3, 3)", "-i", "1,2,9,9", "--resume", str(path))
    assert verified.code == 2
    assert "is a run of convcli bench, not of verify" in verified.err
