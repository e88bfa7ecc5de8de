"""Many workers: whatever they do with the chunks, every case is told once; a crew's report is that of one machine."""

from __future__ import annotations

import random
import signal
import sys
import time
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from journal_runs import command
from many_executors import DEADLY
from test_shards import plain
from test_verify_journal import write_spec
from verify_layers import planned

import convcli
from convcli.axis import axes
from convcli.errors import BackendMissing, SpecError, Unchecked
from convcli.layers import Conv
from convcli.plan import Step
from convcli.verifier.jobs import Wanted
from convcli.verifier.ledger import Ledger, Subject
from convcli.verifier.many import crew as crew_module
from convcli.verifier.many.checks import Checking
from convcli.verifier.many.chunk import Answer, Chunk
from convcli.verifier.many.crew import Crew
from convcli.verifier.many.engines import Engine, engine_of
from convcli.verifier.verdict import Check, Outcome, Status

WANTED = Wanted("verify_fakes:faithful", ("float32",))
FINE = ((Check("forward", "exact", Status.PASSED),),)
NAN: dict[str, Any] = {"against": "verify_fakes:nan", "dtypes": ("float32",)}


def steps(count: int) -> list[Step]:
    """One layer, many names."""
    (step,) = planned((Conv(axes=axes((2, 2)), out_channels=3), (1, 2, 4, 5))).steps
    return [msgspec.structs.replace(step, name=str(number)) for number in range(count)]


class Asked:
    """Stands for a ledger: what it asks, and what it is told."""

    rounds = False

    def __init__(self, count: int):
        self.layers, self.told = steps(count), dict[int, Any]()

    def cases(self) -> Any:
        return enumerate(self.layers)

    def take(self, index: int, checks: Any) -> None:
        assert index not in self.told
        self.told[index] = checks


class Simulated:
    """An engine whose chunks end in any order; some are lost with their worker, always or by chance."""

    name = "simulated"

    def __init__(self, workers: int, deadly: set[int], unlucky: float, seed: int):
        self.workers, self._deadly, self._unlucky = workers, deadly, unlucky
        self._rng = random.Random(seed)  # noqa: S311
        self._running: list[tuple[Future[Answer], Chunk]] = []
        self.most = self.largest = 0

    def submit(self, chunk: Chunk) -> Future[Answer]:
        future: Future[Answer] = Future()
        self._running.append((future, chunk))
        self.most, self.largest = max(self.most, len(self._running)), max(self.largest, len(chunk.items))
        return future

    def wait(self, futures: Any, *_: Any) -> Any:
        """Some chunk comes to its end."""
        future, chunk = self._running.pop(self._rng.randrange(len(self._running)))
        names = {int(step.name) for step in chunk.items}
        chance = len(names) > 1 and self._rng.random() < self._unlucky
        if names & self._deadly or chance:
            future.set_exception(RuntimeError("gone"))
        else:
            found = [None if not chunk.alone and self._rng.random() < self._unlucky else FINE for _ in chunk.items]
            future.set_result(Answer(tuple(found), 0.01 * len(chunk.items), {}))
        return wait(futures, 0)


@settings(max_examples=60)
@given(
    st.integers(0, 300),
    st.integers(1, 5),
    st.sets(st.integers(0, 299), max_size=4),
    st.sampled_from([0, 0.3]),
    st.integers(),
)
def test_whatever_workers_do_every_case_is_told_once(
    count: int, workers: int, deadly: set[int], unlucky: float, seed: int
) -> None:
    engine, ledgers = Simulated(workers, deadly, unlucky, seed), [Asked(count), Asked(count // 3)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crew_module, "wait", engine.wait)
        made = Crew(cast("Engine", engine), Checking(WANTED, 1.0), lambda: None)
        made.work_through(cast("Any", ledgers))
    for ledger in ledgers:
        assert sorted(ledger.told) == list(range(len(ledger.layers)))
        for index, checks in ledger.told.items():
            status = Status.CRASHED if index in deadly else Status.PASSED
            assert [check.status for check in checks[0]] == [status]
    assert engine.most <= 2 * workers
    assert engine.largest * 0.01 < 1.1


@pytest.mark.parametrize("executor", ["local", "many_executors:threads", "many_executors:processes"])
def test_the_report_is_that_of_one_machine(executor: str, tmp_path: Path) -> None:
    network = convcli.load(write_spec(tmp_path / "spec.jsonl"))
    here = convcli.verify(network, **NAN, explain=False)
    there = convcli.verify(network, **NAN, explain=False, executor=executor)
    assert plain(there) == plain(here)


def test_failures_elsewhere_are_taken_apart_here() -> None:
    options: dict[str, Any] = {"against": "verify_fakes:hurried", "dtypes": ("float32",), "cases": 12}
    here = convcli.fuzz(["conv"], **options)
    assert here.failures
    assert plain(convcli.fuzz(["conv"], **options, executor="local")) == plain(here)


@pytest.mark.parametrize("how", ["crashing", "leaving", "killed"])
def test_a_crash_is_a_row(how: str) -> None:
    layers = [(Conv(axes=axes((2, 2)), out_channels=outs), (1, 2, 6, 7)) for outs in (3, 4, 5, 6)]
    options: dict[str, Any] = {"against": f"verify_fakes:{how}", "dtypes": ("float32",), "explain": False}
    here, there = (convcli.verify(planned(*layers), **options, executor=name) for name in (None, "local"))
    assert [layer.status for layer in there.layers] == [layer.status for layer in here.layers]
    assert plain(there) == plain(here)


def test_a_layer_that_kills_its_workers_is_told_and_costs_nobody_else_anything() -> None:
    layers = [(Conv(axes=axes((2, 2)), out_channels=outs), (1, 2, 6, 7)) for outs in (3, 4, DEADLY, 6, 7)]
    outcome: Outcome = convcli.verify(
        planned(*layers), against="verify_fakes:faithful", dtypes=("float32",), executor="many_executors:fragile"
    )
    assert [layer.status for layer in outcome.layers] == ["passed", "passed", "crashed", "passed", "passed"]
    assert outcome.layers[2].checks[0].detail.startswith("the worker that tried it died, twice: BrokenProcessPool")
    found = convcli.fuzz(
        ["conv"], cases=6, against="verify_fakes:faithful", dtypes=("float32",), executor="many_executors:fragile"
    )
    assert found.cases == 6


def test_what_is_done_behind_a_gap_keeps_its_place() -> None:
    """As when Ctrl-C ends a run whose chunks came in any order."""
    ledger = Ledger([Subject(step, "") for step in steps(4)], WANTED, alike=False)
    for index in (0, 2):
        ledger.take(index, FINE * (index + 1))
    ledger.close()
    assert [verdict.name for verdict in ledger.verdicts] == ["0", "2"]
    assert ledger.numbers == [0, 2]
    assert [ledger.sizes(turn) for turn in (0, 1)] == [(1,), (1, 1, 1)]


def test_after_a_failure_what_was_done_at_the_same_time_is_skipped() -> None:
    """What a report says does not depend on how the layers were sent."""
    bad = ((Check("forward", "exact", Status.FAILED),),)
    for order in ((0, 1, 2, 3), (3, 2, 1, 0), (2, 1, 0)):
        ledger = Ledger([Subject(step, "") for step in steps(4)], WANTED, alike=False, fail_fast=True)
        for index in order:
            ledger.take(index, bad if index == 1 else FINE)
        ledger.close()
        assert [verdict.status for verdict in ledger.verdicts] == ["passed", "failed", "skipped", "skipped"]
        assert [ledger.sizes(turn) for turn in range(4)] == [(1,), (1,), (), ()]


def test_workers_of_other_versions_are_refused_by_name() -> None:
    made = Crew(cast("Engine", Simulated(1, set(), 0, 0)), Checking(WANTED, 1.0), lambda: None)
    made.environment = {"numpy": "2.1", "platform": "a"}
    made._same_versions({"numpy": "2.1", "platform": "b"})
    with pytest.raises(Unchecked, match=r"simulated differ: numpy is 2\.1 on one and 2\.2 on another"):
        made._same_versions({"numpy": "2.2", "platform": "a"})


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("dask://", "names no scheduler"),
        ("ray", "allowed: local, dask://host:port, or package.module:factory"),
        ("many_executors:", "is not known"),
        ("no.such.module:f", "No module named 'no'"),
        ("many_executors:missing", "has no attribute 'missing'"),
        ("many_executors:number", "number is no function"),
        ("many_executors:none", "made a NoneType, not an executor"),
    ],
)
def test_what_is_no_executor_is_refused(name: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        convcli.verify(
            planned((Conv(axes=axes((1,)), out_channels=1), (1, 1, 3))), against=WANTED.against, executor=name
        )


def test_an_executor_that_cannot_be_made_leaves_everything_unchecked() -> None:
    with pytest.raises(Unchecked, match="many_executors:failing: ConnectionError: no such cluster"):
        convcli.fuzz(["conv"], cases=1, against=WANTED.against, executor="many_executors:failing")


def test_without_dask_the_install_line_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(BackendMissing, match=r'distributed is not installed; pip install "convcli\[dask\]"'):
        engine_of("dask://localhost:8786")


def test_ctrl_c_ends_the_workers_too() -> None:
    words = ["fuzz", "--kind", "conv", "--duration", "10m", "--against", "verify_fakes:faithful", "--executor", "local"]
    process = command(*words)
    time.sleep(6)
    process.send_signal(signal.SIGINT)
    told, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, "")
    assert "interrupted: " in told
