"""Runs of `fuzz`: what they report, and that a run which is killed and continued is the run that was not."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import convcli
from convcli.errors import SpecError
from convcli.report import FORMATS, render
from convcli.report.text import plain
from convcli.verifier.fuzz.results import FuzzOutcome

FAITHFUL, HURRIED = "verify_fakes:faithful", "verify_fakes:hurried"
HERE = Path(__file__).parent
CASES = 50


def fuzz(*options: str, **more: Any) -> subprocess.Popen[str]:
    """The command in a process of its own, where the fakes can be found."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])}
    words = [sys.executable, "-m", "convcli", "fuzz", *options]
    return subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)


def options(path: Path, against: str = HURRIED) -> list[str]:
    kinds = ["--kind", "conv", "--kind", "conv_transpose", "--dtype", "float32"]
    return [*kinds, "--cases", str(CASES), "--against", against, "--output", str(path), "--format", "json"]


def without_times(text: str) -> str:
    return re.sub(r'"seconds": ?[\d.]+', '"seconds":0', text)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """(the journal, the report) of a run that nobody disturbs."""
    path = tmp_path_factory.mktemp("fuzz") / "run.jsonl"
    process = fuzz(*options(path))
    report, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (1, "")
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
    said = plain(outcome)
    assert f"{kind.pairs:,} of {kind.pairs:,} in {kind.pair_cases} cases" in said
    assert re.search(r"; [\d.]+ cases a second\n52 cases: 52 passed in [\d.]+ s", said)


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
    path, rng, kills, report = tmp_path / "run.jsonl", random.Random(5), 0, ""  # noqa: S311
    while kills < 6:
        again = ["--resume", str(path), "--format", "json"] if path.exists() and path.stat().st_size else options(path)
        process = fuzz(*again, "--jobs", str(1 + kills % 2), start_new_session=True)
        before = path.stat().st_size if path.exists() else 0
        until, more = time.monotonic() + 60, rng.randrange(200, 20000)
        while process.poll() is None and time.monotonic() < until:
            if path.exists() and path.stat().st_size > before + more:
                os.killpg(process.pid, signal.SIGKILL)
                kills += 1
                break
            time.sleep(0.01)
        report = process.communicate(timeout=60)[0]
        if process.returncode == 1:
            break
        if path.exists() and rng.random() < 0.5:
            data = path.read_bytes()
            path.write_bytes(data + data[-40:-7].replace(b"\n", b" "))  # torn
    assert kills >= 2
    assert without_times(path.read_text()) == without_times(undisturbed[0])
    mine, theirs = (json.loads(without_times(text)) for text in (report, undisturbed[1]))
    for outcome in (mine, theirs):
        del outcome["environment"]["jobs"], outcome["environment"]["threads"]
    assert mine == theirs


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
    process = fuzz("--kind", "conv", "--duration", "10m", "--against", FAITHFUL, "--output", str(path))
    until = time.monotonic() + 60
    while time.monotonic() < until and not (path.exists() and path.read_text().count("\n") > 5):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "")
    assert re.search(r"^interrupted: \d+ cases: \d+ passed in", said, re.MULTILINE)


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
