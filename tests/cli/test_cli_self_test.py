"""`verify --self-test`: what it refuses, and that its report is one like any other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_runs import run


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("Conv2d(1, 1, 1)", "--self-test"), "--self-test takes no layers"),
        (("--self-test", "-i", "1,1,5,5"), "--self-test takes no layers"),
        (("--self-test", "--seeds", "0"), "seeds=0 is too small"),
        (("--self-test", "--seed", "-1"), "seed=-1 is too small"),
        (("Conv2d(1, 1, 1)", "-i", "1,1,5,5", "--seeds", "3"), "--seeds says how long --self-test runs"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: tuple[str, ...], words: str) -> None:
    ran = run("verify", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert words in ran.err
    assert "Traceback" not in ran.err


def test_it_needs_no_torch_and_writes_every_format(tmp_path: Path) -> None:
    file = tmp_path / "kills.json"
    ran = run("verify", "--self-test", "--seeds", "1", "--format", "junit", "--output", str(file))
    assert (ran.code, ran.err) == (0, "")
    found = json.loads(file.read_text())
    assert (found["schema"], found["command"]) == (1, "verify --self-test")
    assert ran.out.count("<testcase ") == len(found["kills"]) + len(found["right"])
    assert "torch" not in found["environment"]
