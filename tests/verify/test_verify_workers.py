"""Workers that die between calls, a torchvision that does not load, and results that carry no signal."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from concurrent.futures import wait
from pathlib import Path

import numpy as np
import pytest
from verify_fakes import WRONG
from verify_layers import planned

from convcli.axis import axes
from convcli.backends import OURS
from convcli.layers import Conv
from convcli.verifier import tasks
from convcli.verifier.case import Fill
from convcli.verifier.compare import difference
from convcli.verifier.exact import ExactJob
from convcli.verifier.exchange import load, store
from convcli.verifier.ledger import settled
from convcli.verifier.pool import Listening
from convcli.verifier.tasks import Exact
from convcli.verifier.verdict import Check, Status
from convcli.verifier.workers import MOST_CALLS, Call, Workers

STEP = planned((Conv(axes=axes((2,)), out_channels=1), (1, 1, 5))).steps[0]


def answered(call: Call) -> Call:
    """The call, done."""
    until = time.monotonic() + 30
    while not call.done:
        assert time.monotonic() < until
        wait([call.future], 0.05)
    return call


def test_workers_that_die_in_their_sleep_are_replaced() -> None:
    workers = Workers(OURS, threads=1, timeout=30, warm=False)
    try:
        assert answered(workers.call("environment")).reply.value["numpy"] == np.__version__
        for child in multiprocessing.active_children():
            child.kill()
        time.sleep(0.5)
        for _ in range(3):
            assert answered(workers.call("environment")).reply.status is None
    finally:
        workers.stop()
    assert not multiprocessing.active_children()


def test_of_calls_that_share_a_message_only_the_one_that_kills_is_to_blame() -> None:
    workers = Workers(OURS, threads=1, timeout=30, warm=False)
    try:
        names = ["right", "crashing", "right", "killed", "leaving", "right"]
        layers = [Conv(axes=axes((2,)), out_channels=1 if name == "right" else WRONG) for name in names]
        places = [f"verify_fakes:{'faithful' if name == 'right' else name}" for name in names]
        calls = [
            workers.call("executed_macs", place, layer.settled((1, 5)), (), (1, 5))
            for place, layer in zip(places, layers, strict=True)
        ]
        replies = [answered(call).reply for call in calls]
    finally:
        workers.stop()
    assert [str(reply.status or reply.value) for reply in replies] == [
        *("8", "crashed", "8", "crashed", "crashed", "8")
    ]
    assert "SIGSEGV" in replies[1].reason


def test_on_a_busy_machine_no_other_call_is_to_blame(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the processes say is read late: then a dead one seemed to be at the call before the one that killed it."""
    read = Listening.process_next_message

    def late(self: Listening, timeout: float) -> None:
        time.sleep(0.1)
        read(self, timeout)

    monkeypatch.setattr(Listening, "process_next_message", late)
    names = ["faithful", "faithful", "killed", "faithful"]
    layer = Conv(axes=axes((2,)), out_channels=WRONG).settled((1, 5))
    batch, alone = (Workers(OURS, threads=1, timeout=5, warm=False) for _ in range(2))
    try:
        for workers in (batch, alone):
            calls = []
            for name in names:
                calls.append(workers.call("executed_macs", f"verify_fakes:{name}", layer, (), (1, 5)))
                if workers is alone:
                    workers.send()
            replies = [answered(call).reply for call in calls]
            assert [str(reply.status or "answered") for reply in replies] == [
                *("answered", "answered", "crashed", "answered")
            ]
            assert "SIGKILL" in replies[2].reason
    finally:
        batch.stop()
        alone.stop()


def test_a_full_batch_is_sent_and_who_waits_sends_the_rest() -> None:
    workers = Workers(OURS, threads=1, timeout=30, warm=False)
    try:
        calls = [workers.call("environment") for _ in range(MOST_CALLS + 2)]
        assert answered(calls[0]).reply.value
        assert not calls[-1].done
        assert calls[-1].future.result()
        assert calls[-1].done
    finally:
        workers.stop()


def exact(directory: Path, weight: list[int], x: list[int]) -> Check:
    """The exact check's verdict on a result that is our own, with these data."""
    arrays = {"x": np.array([[x]]), "weight": np.array([[weight]]), "bias": np.array([3])}
    sample = store(str(directory), "a", Fill(arrays))
    proof = tasks.exact(STEP.layer, sample, {"": 1.0}, "float32", str(directory), "exact")
    y = load(proof.file)
    return ExactJob(STEP, 0, "torch", "float32")._judged(proof, difference(y, y), y, y)


def test_a_result_without_a_signal_is_mistrusted(tmp_path: Path) -> None:
    assert exact(tmp_path, [1, 2], [1, 2, 3, 4, 5]).status is Status.PASSED
    cancelled = exact(tmp_path, [1, 1], [1, -1, 1, -1, 5])
    assert cancelled.status is Status.MISTRUSTED
    assert "3 of 4 outputs show nothing but the bias" in cancelled.detail
    assert exact(tmp_path, [1, 1], [1, -1, 1, 4, 5]).status is Status.PASSED  # half of them may
    empty = exact(tmp_path, [0, 0], [1, 2, 3, 4, 5])
    assert (empty.status, empty.detail) == (Status.MISTRUSTED, "equal, but no output holds a product")


def test_a_result_that_is_not_proven_is_mistrusted() -> None:
    y = np.ones((1, 1, 4), np.float32)
    check = ExactJob(STEP, 0, "torch", "float32")._judged(Exact("", 24.5, 4, 0), difference(y, y), y, y)
    assert (check.status, check.detail) == (Status.MISTRUSTED, "equal, but not proven: 24.5 bits of 24")


def test_inexact_needs_a_side_that_rounds_and_a_bound_that_holds() -> None:
    failed = Check("forward", "exact", Status.FAILED, "float32")
    held = Check("forward", "bound", Status.PASSED, "float32")
    other = Check("forward", "bound", Status.PASSED, "float64")
    assert settled((failed, held), rounds=True)[0].status is Status.INEXACT
    assert settled((failed, held), rounds=False)[0].status is Status.FAILED
    assert settled((failed, other), rounds=True)[0].status is Status.FAILED


@pytest.mark.torch
def test_without_torchvision_only_deformable_layers_are_unsupported(tmp_path: Path) -> None:
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text("raise RuntimeError('operator nms does not exist')")
    code = (
        "from verify_layers import *; from convcli.verifier.run import verify;"
        "o = verify(planned(SMALL[0], DEFORMABLE[0], DEFORMABLE[2]), dtypes=('float32',));"
        "print(*statuses(o), o.exit_code, o.layers[1].checks[-1].detail, o.environment['torchvision'], sep='|')"
    )
    paths = os.pathsep.join([str(tmp_path), *sys.path])
    environment = {**os.environ, "PYTHONPATH": paths}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    *words, detail, version = found.stdout.strip().split("|")
    assert words == ["passed", "unsupported", "unsupported", "3"]
    assert "torchvision is not usable: RuntimeError: operator nms does not exist" in detail
    assert version in detail
