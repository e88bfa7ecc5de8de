"""Runs of `fuzz`: what they report, and that a run which is killed and continued is the run that was not."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from journal_runs import HERE, command, killed_until_done, without_times
from journal_runs import said as printed

import convcli
from convcli.errors import SpecError
from convcli.report import FORMATS, render
from convcli.report.text import plain
from convcli.verifier.fuzz.results import FuzzOutcome

FAITHFUL, HURRIED = "verify_fakes:faithful", "verify_fakes:hurried"
CASES = 50


def options(path: Path, against: str = HURRIED) -> list[str]:
    kinds = ["--kind", "conv", "--kind", "conv_transpose", "--dtype", "float32"]
    return [*kinds, "--cases", str(CASES), "--against", against, "--output", str(path), "--format", "json"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """(the journal, the report) of a run that nobody disturbs."""
    path = tmp_path_factory.mktemp("fuzz") / "run.jsonl"
    report = printed("fuzz", *options(path), code=1)
    return path.read_text(), report


def test_all_that_can_be_said_of_a_right_backend() -> None:
    told: list[tuple[int, int | None, int]] = []
    outcome = convcli.fuzz(
        ["conv"], cases=52, against=FAITHFUL, dtypes=("float32",), progress=lambda *done: told.append(done)
    )
    assert outcome.exit_code == 0
    assert not outcome.failures
    (kind,) = outcome.kinds
    assert (kind.cases, kind.statuses) == (52, {"passed": 52})
    assert kind.pairs == kind.legal_pairs
    assert told[-1] == (52, 52, 0)
    told_in_text = plain(outcome)
    assert f"{kind.pairs:,} of {kind.pairs:,} in {kind.pair_cases} cases" in told_in_text
    assert re.search(r"; [\d.]+ cases a second\n52 cases: 52 passed in [\d.]+ s", told_in_text)


def test_failures_are_grouped_shrunk_and_explained(undisturbed: tuple[str, str]) -> None:
    journal, report = undisturbed
    found = json.loads(report)
    conv, transposed = found["kinds"]
    assert transposed["statuses"] == {"passed": CASES}
    bad = [line for line in map(json.loads, journal.splitlines()[1:-1]) if line["status"] != "passed"]
    assert [line["case"] for line in bad] == ["conv-4", "conv-46"]
    assert conv["statuses"]["passed"] == CASES - len(bad)
    for line in bad:
        assert line["failing"]
        assert line["smallest"]["complete"]
        assert "stride=(" in line["smallest"]["layer"]
    (failure,) = found["failures"]
    assert failure["cases"] == ["conv-4", "conv-46"]
    assert re.match(r"Conv2d\(1, 1, 1, stride=", failure["layer"])
    assert "the first axis's stride on every axis" in failure["verdict"]["explanation"]["looks_like"]


def test_a_failures_repro_repeats_it(undisturbed: tuple[str, str]) -> None:
    failure = json.loads(undisturbed[1])["failures"][0]
    words = re.match(r"convcli verify ('[^']*'|\S+) (.*)", failure["verdict"]["repro"])
    assert words
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])}
    argv = [words[1].strip("'"), *words[2].split()]
    ran = subprocess.run([sys.executable, "-m", "convcli", "verify", *argv], env=env, capture_output=True, check=False)
    assert ran.returncode == 1


def test_killed_and_resumed_is_as_if_nothing_had_happened(tmp_path: Path, undisturbed: tuple[str, str]) -> None:
    """kill -9 at random moments, of which the last line may be torn; other jobs each time."""
    path = tmp_path / "run.jsonl"

    def words(again: bool, turn: int) -> list[str]:
        own = ["--resume", str(path), "--format", "json"] if again else options(path)
        return ["fuzz", *own, "--jobs", str(1 + turn % 2)]

    report, kills = killed_until_done(path, words, kills=6, seed=5)
    assert kills >= 2
    assert without_times(path.read_text()) == without_times(undisturbed[0])
    assert without_times(report) == without_times(undisturbed[1])


def test_a_run_that_is_another_one_is_refused_by_name(tmp_path: Path, undisturbed: tuple[str, str]) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text(undisturbed[0])
    same: dict[str, Any] = {
        "kinds": ["conv", "conv_transpose"],
        "cases": CASES,
        "against": HURRIED,
        "dtypes": ("float32",),
    }
    with pytest.raises(SpecError, match="seed is 0 there and 1 here"):
        convcli.fuzz(**same, seed=1, resume=path)
    with pytest.raises(SpecError, match="cases is 50 there and 25 here"):
        convcli.fuzz(**{**same, "cases": 25}, resume=path)
    with pytest.raises(SpecError, match=f"against is {HURRIED} there and {FAITHFUL} here"):
        convcli.fuzz(**{**same, "against": FAITHFUL}, resume=path)
    header = json.loads(undisturbed[0].splitlines()[0])
    header["environment"]["numpy"] = "0.1"
    path.write_text(json.dumps(header) + "\n")
    with pytest.raises(SpecError, match=r"numpy is 0\.1 there"):
        convcli.fuzz(**same, resume=path)
    for text, said in (
        ("", "no first line"),
        ("{}\n", "is not a run"),
        (undisturbed[0] + "x\n{}\n", "is not a result"),
    ):
        path.write_text(text)
        with pytest.raises(SpecError, match=said):
            convcli.fuzz(**same, resume=path)


def test_every_format_tells_a_failing_run(undisturbed: tuple[str, str], tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text(undisturbed[0])
    outcome = convcli.fuzz(["conv", "conv_transpose"], cases=CASES, against=HURRIED, dtypes=("float32",), resume=path)
    assert isinstance(outcome, FuzzOutcome)
    assert outcome.exit_code == 1
    first = outcome.failures[0]
    for form in FORMATS:
        said = render(outcome, form)
        assert said.endswith("\n")
        assert first.cases[0] in said
        assert first.verdict.checks[0].name in said
    assert path.read_text() == undisturbed[0]


def test_ctrl_c_reports_what_is_done(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    process = command("fuzz", "--kind", "conv", "--duration", "10m", "--against", FAITHFUL, "--output", str(path))
    until = time.monotonic() + 60
    while time.monotonic() < until and not (path.exists() and path.read_text().count("\n") > 5):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    told, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "")
    assert re.search(r"^interrupted: \d+ cases: \d+ passed in", told, re.MULTILINE)


def test_a_duration_ends_a_run() -> None:
    outcome = convcli.fuzz(["conv_transpose"], duration=0.5, against=FAITHFUL, dtypes=("float32",))
    assert outcome.cases
    assert outcome.exit_code == 0


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"kinds": ["convolution"]}, "kind 'convolution' is not known"),
        ({"cases": 0}, "cases=0 is too small"),
        ({"cases": 3, "duration": 1.0}, "exclude each other"),
        ({"duration": 0.0}, "too short"),
        ({"journal": "a.jsonl", "resume": "b.jsonl"}, "its own file"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        convcli.fuzz(against=FAITHFUL, **wrong)
