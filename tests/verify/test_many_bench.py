"""`bench` by many workers: the rows of one machine, whoever measures; what goes wrong is a row; kills cost nothing."""

from __future__ import annotations

import json
import signal
import time
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest
from journal_runs import command, killed_until_done, said
from many_executors import DEADLY
from verify_fakes import WRONG
from verify_layers import planned

import convcli
from convcli.axis import axes
from convcli.backends import REGISTERED
from convcli.errors import BackendMissing, SpecError, Unchecked
from convcli.layers import Conv
from convcli.plan import Plan
from convcli.report.json import render
from convcli.timing.course import Course, different
from convcli.timing.measure import How, Side
from convcli.timing.record import Bench, Timed
from convcli.timing.station import Measuring
from convcli.verifier.journal import Recording, header
from convcli.verifier.ledger import chosen
from convcli.verifier.many.chunk import Answer, Chunk
from convcli.verifier.many.crew import Crew

if TYPE_CHECKING:
    from convcli.verifier.many.engines import Engine

TIMES = {"seconds", "limit_seconds", "ratios", "of_limit", "readings"}
QUICK: dict[str, Any] = {"against": ("verify_fakes:faithful",), "seconds": 0.01}


def network(*outs: int) -> Plan:
    return planned(*[(Conv(axes=axes((2, 2)), out_channels=n), (1, 2, 6, 7)) for n in outs])


def rows(record: Bench) -> Any:
    """What it tells, times aside."""
    found = json.loads(render(record))
    layers = [{name: value for name, value in row.items() if name not in TIMES} for row in found["layers"]]
    return {**found, "layers": layers, "totals": (found["totals"]["layers"], found["totals"]["macs"]), "seconds": 0}


@pytest.mark.parametrize("executor", ["local", "many_executors:threads", "many_executors:processes"])
def test_whoever_measures_the_rows_are_those_of_one_machine(executor: str, tmp_path: Path) -> None:
    layers, journal = network(*range(2, 14), 3, 4), tmp_path / "run.jsonl"
    options = {**QUICK, "seconds": 0.1}
    here = convcli.bench(layers, **options)
    there = convcli.bench(layers, **options, executor=executor, journal=journal)
    assert rows(there) == rows(here)
    assert (here.exit_code, here.layers[1].count) == (0, 2)
    assert all(layer.ratios["verify_fakes:faithful"] > 0 for layer in there.layers)
    told = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [line["index"] for line in told[1:-1]] == list(range(12))
    again = convcli.bench(layers, **options, executor=executor, resume=journal)
    assert again.layers == there.layers


@pytest.mark.parametrize(
    ("how", "status", "words"),
    [
        ("crashing", "crashed", "the process died: SIGSEGV"),
        ("leaving", "crashed", "the process left with code 3"),
        ("killed", None, "SIGKILL"),
        ("hanging", "timed_out", "no answer within 1 seconds"),
        ("starving", "out_of_memory", "Unable to allocate 8 EiB"),
        ("quitting", "error_mismatch", "SystemExit: 0"),
        ("lacking", "unsupported", ""),
    ],
)
@pytest.mark.parametrize("executor", [None, "many_executors:threads"])
def test_what_goes_wrong_is_a_row(how: str, status: str | None, words: str, executor: str | None) -> None:
    options = {**QUICK, "against": (f"verify_fakes:{how}",), "timeout": 1.0}
    found = convcli.bench(network(3, WRONG, 4), **options, executor=executor)
    assert [found.layers[0].status, found.layers[2].status] == ["measured"] * 2
    assert found.layers[1].status in ({status} if status else {"crashed", "out_of_memory"})
    assert words in found.layers[1].reason
    assert (found.totals.layers, found.exit_code) == (2, 3)


def test_a_layer_that_kills_its_workers_is_told_and_costs_nobody_else_anything() -> None:
    found = convcli.bench(network(3, DEADLY, 4), **QUICK, executor="many_executors:fragile")
    assert [layer.status for layer in found.layers] == ["measured", "crashed", "measured"]
    assert found.layers[1].reason.startswith("the worker that tried it died, twice: BrokenProcessPool")


def test_workers_of_other_versions_are_refused_by_name() -> None:
    with pytest.raises(Unchecked, match=r"threads differ: process is \d+ on one and \d+ on another"):
        convcli.bench(
            network(2, 3, 4, 5), against=("bench_fakes:Restless",), seconds=0.3, executor="many_executors:threads"
        )


def test_what_workers_lack_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """By them: whoever asks needs none of it."""
    monkeypatch.setitem(REGISTERED, "torch", msgspec.structs.replace(REGISTERED["torch"], needs="no_such_library"))
    with pytest.raises(BackendMissing, match="no_such_library is not installed"):
        convcli.bench(network(2), executor="many_executors:threads")
    with pytest.raises(Unchecked, match="no_such_name"):
        convcli.bench(network(2), against=("bench_fakes:no_such_name",), executor="many_executors:threads")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"executor": "ray"}, "--executor: ray is not known"),
        ({"executor": "many_executors:missing"}, "has no attribute 'missing'"),
        ({"executor": "local", "timeout": 0}, "timeout=0 is too short"),
        ({"executor": "many_executors:threads", "against": ("torhc",)}, "no backend 'torhc'"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        convcli.bench(network(2), **{**QUICK, **options})


def test_memory_is_the_workers_own_unless_it_is_said() -> None:
    task = Measuring(How((), "float32", 1, 0.01), 1.0)
    stand = task.station()
    stand.answer_to(Chunk(task, ()))
    assert stand._limit > 1 << 20
    stand.end()
    skipped = convcli.bench(network(2), **QUICK, max_memory=1, executor="many_executors:threads").layers[0]
    assert (skipped.status, "--max-memory is" in skipped.reason) == ("skipped", True)


@pytest.mark.parametrize("seconds", [0.01, 0.5, 2.0])
def test_chunks_hold_no_more_than_a_second_whatever_was_skipped_before(seconds: float) -> None:
    """A chunk that is under way when a machine dies is lost: thousands of layers too large must not make it grow."""
    course, chunks = network(*range(2, 200)), list[Chunk]()
    task = Measuring(How((Side("numpy", method="auto"),), "float32", 1, seconds), 1.0, limit=1)
    stand = task.station()
    stand._environment, stand._limit = {}, 1

    class Alone:
        """An engine whose one worker answers at once."""

        name, workers = "alone", 1

        def submit(self, chunk: Chunk) -> Future[Answer]:
            chunks.append(chunk)
            future: Future[Answer] = Future()
            future.set_result(stand.answer(chunk))
            return future

    layers = dict(enumerate(different(chosen([course], ()))))
    run = Course(layers, Recording(None, None, "bench", Timed))
    run.begin(header("bench", 0, {}, {}))
    Crew(cast("Engine", Alone()), task, lambda: None).work_through([run])
    stand.end()
    assert {layer.status for layer in run.timings} == {"skipped"}
    assert sum(len(chunk.items) for chunk in chunks) == 198
    assert all(chunk.work < 1 or len(chunk.items) == 1 for chunk in chunks)


def spec(path: Path, layers: int) -> Path:
    lines = [{"type": "Conv2d", "out_channels": 1 + n, "kernel_size": 3, "input": [1, 3, 9, 9]} for n in range(layers)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_killed_and_resumed_every_layer_is_measured_once(tmp_path: Path) -> None:
    file, journal = spec(tmp_path / "net.jsonl", 30), tmp_path / "run.jsonl"
    seen: list[list[str]] = []

    def words(again: bool, turn: int) -> list[str]:
        if again:
            seen.append(journal.read_text().splitlines(keepends=True)[1:])
        flag = "--resume" if again else "--output"
        return ["bench", str(file), "--against", "none", "--seconds", "0.1", flag, str(journal), "-f", "json"]

    report, kills = killed_until_done(journal, words, kills=3, seed=1)
    assert kills >= 1
    lines = journal.read_text().splitlines(keepends=True)[1:-1]
    assert [json.loads(line)["index"] for line in lines] == list(range(30))
    for earlier in seen:  # what was there, but for a torn line, is there
        whole = [line for line in earlier if line.endswith("\n")][:-1]
        assert lines[: len(whole)] == whole
    assert [json.loads(line)["timing"] for line in lines] == json.loads(report)["layers"]


@pytest.mark.parametrize("executor", [[], ["--executor", "many_executors:processes"]])
def test_ctrl_c_tells_what_is_finished(tmp_path: Path, executor: list[str]) -> None:
    file, journal = spec(tmp_path / "net.jsonl", 200), tmp_path / "run.jsonl"
    options = [str(file), "--against", "none", "--seconds", "0.3"]
    process = command("bench", *options, *executor, "--output", str(journal), "--format", "json")
    until = time.monotonic() + 60
    while (not journal.exists() or journal.read_text().count("\n") < 3) and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    told, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, "")
    found = json.loads(told)
    assert found["interrupted"]
    assert 2 <= len(found["layers"]) < 200
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [line["timing"] for line in lines[1:]] == found["layers"][: len(lines) - 1]


def test_the_command_takes_an_executor() -> None:
    layer = ["Conv2d(2, 3, 3)", "-i", "1,2,9,9", "--against", "none", "--seconds", "0.01"]
    assert "1 layer measured" in said("bench", *layer, "--executor", "many_executors:processes")
