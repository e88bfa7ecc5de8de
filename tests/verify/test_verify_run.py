"""The run as a whole: the same outcome whatever the jobs, in order, ended cleanly, never more memory than allowed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from verify_fakes import WRONG
from verify_layers import SMALL, check, planned, statuses

from convcli.axis import axes
from convcli.errors import BackendMissing, SpecError
from convcli.layers import Conv, DeformConv, Layer
from convcli.verifier import estimate, ledger
from convcli.verifier.run import verify
from convcli.verifier.verdict import LayerVerdict, Outcome, Status

FAITHFUL = "verify_fakes:faithful"
CONV = Conv(axes=axes((3, 2), padding=1), out_channels=3)


def untimed(outcome: Outcome) -> list[LayerVerdict]:
    """What two runs must agree on."""
    return [
        msgspec.structs.replace(
            layer, seconds=0.0, checks=tuple(msgspec.structs.replace(c, seconds=0.0) for c in layer.checks)
        )
        for layer in outcome.layers
    ]


def test_jobs_and_order_do_not_matter() -> None:
    layers = SMALL[::5]
    forward = untimed(verify(planned(*layers), against=FAITHFUL, seed=7))
    backward = untimed(verify(planned(*layers[::-1]), against=FAITHFUL, seed=7, jobs=3))
    found = [[(layer.status, layer.checks, layer.repro) for layer in run] for run in (forward, backward[::-1])]
    assert found[0] == found[1]


def test_both_precisions_see_the_same_exact_data() -> None:
    (layer,) = verify(planned((CONV, (2, 4, 7, 8))), against=FAITHFUL).layers
    used = [check(layer, "forward", "exact", dtype).detail.split()[2] for dtype in ("float64", "float32")]
    assert used[0] == used[1]


def test_verdicts_come_in_order_and_progress_counts_them() -> None:
    told: list[str] = []
    steps: list[tuple[int, int, str]] = []
    layers = planned(*SMALL[:4])
    outcome = verify(
        layers,
        against=FAITHFUL,
        jobs=2,
        dtypes=("float32",),
        progress=lambda *step: steps.append(step),
        on_verdict=lambda verdict: told.append(verdict.name),
    )
    names = [step.name for step in layers.steps]
    assert told == [layer.name for layer in outcome.layers] == names
    assert steps == [(i + 1, 4, name) for i, name in enumerate(names)]


def printed(code: str) -> list[str]:
    """The words that a program of its own prints."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    return found.stdout.split()


def test_torch_stays_out_of_this_process_and_of_ours() -> None:
    code = (
        "import sys; from verify_layers import *; from convcli.verifier.run import verify;"
        "o = verify(planned(SMALL[0]), against='verify_fakes:faithful');"
        "print('torch' in sys.modules, o.environment['torch loaded'])"
    )
    assert printed(code) == ["False", "False"]


@pytest.mark.torch
def test_torch_stays_out_of_this_process_even_when_it_is_the_other_side() -> None:
    code = (
        "import sys; from verify_layers import *; from convcli.verifier.run import verify;"
        "o = verify(planned(SMALL[0])); print('torch' in sys.modules, o.summary.passed)"
    )
    assert printed(code) == ["False", "1"]


def test_equal_layers_are_checked_once_and_say_so() -> None:
    outcome = verify(planned((CONV, (2, 4, 7, 8)), (CONV, (2, 4, 7, 8))), against=FAITHFUL, dtypes=("float32",))
    first, second = outcome.layers
    assert statuses(outcome) == ["passed", "passed"]
    assert first.reason == ""
    assert "conv_0: checked once" in second.reason
    assert second.seconds == 0


def test_fail_fast_skips_the_rest() -> None:
    wrong = Conv(axes=axes((3, 2)), out_channels=WRONG)
    layers = planned((wrong, (2, 4, 7, 8)), *[(CONV, (2, 4, 7, 8 + i)) for i in range(9)])
    outcome = verify(layers, against="verify_fakes:one_off", dtypes=("float32",), fail_fast=True)
    assert statuses(outcome)[0] == "failed"
    assert statuses(outcome)[-1] == "skipped"
    assert outcome.layers[-1].reason == "a layer before it failed"
    assert len(outcome.layers) == 10
    assert outcome.exit_code == 1


def test_only_takes_names_and_patterns() -> None:
    layers = planned(*SMALL)
    assert [s.step.name for s in ledger.chosen([layers], ["conv_3"])] == ["conv_3"]
    assert all(s.step.name.startswith("deform") for s in ledger.chosen([layers], ["deform*"]))
    with pytest.raises(SpecError, match="no layer is named 'nothing'"):
        verify(layers, against=FAITHFUL, only=("conv_3", "nothing"))


@pytest.mark.parametrize(
    "wrong", [{"dtypes": ("float8",)}, {"jobs": 0}, {"seed": -1}, {"timeout": 0}, {"max_memory": 0}]
)
def test_arguments_that_make_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(SpecError) as error:
        verify(planned(SMALL[0]), against=FAITHFUL, **wrong)
    assert error.value.problems[0].field == next(iter(wrong)).removesuffix("s" if "dtypes" in wrong else "")


@pytest.mark.parametrize("against", ["nowhere", "nowhere.at_all:nothing"])
def test_a_backend_that_is_not_there(against: str) -> None:
    with pytest.raises(SpecError, match="no backend"):
        verify(planned(SMALL[0]), against=against)


def test_torch_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(BackendMissing, match=r'pip install "convcli\[torch\]"'):
        verify(planned(SMALL[0]))


def test_a_backend_that_does_not_start() -> None:
    with pytest.raises(BackendMissing, match=r"does not start: AttributeError"):
        verify(planned(SMALL[0]), against="verify_fakes:no_such_name")


def test_a_monstrous_layer_is_skipped_before_anything_is_allocated() -> None:
    huge = Conv(axes=axes((3, 3)), out_channels=2**20)
    outcome = verify(planned((huge, (2**20, 2**10, 10**5, 10**5)), (CONV, (2, 4, 7, 8))), against=FAITHFUL)
    assert statuses(outcome) == ["skipped", "passed"]
    skipped = [c for c in outcome.layers[0].checks if c.status is Status.SKIPPED]
    assert len(skipped) == 5
    assert "--max-memory is" in skipped[0].detail
    little = verify(planned((CONV, (2, 4, 7, 8))), against=FAITHFUL, max_memory=1000).layers[0]
    assert check(little, "forward", "exact", "float32").status is Status.SKIPPED


def test_an_empty_batch_is_run_for_its_shape_and_its_gradients_of_0() -> None:
    (layer,) = verify(planned((CONV, (0, 4, 7, 8))), against=FAITHFUL, grad=True).layers
    forward = [c for c in layer.checks if c.name == "forward"]
    assert {(c.method, c.status) for c in forward} == {("equal", Status.PASSED)}
    assert forward[0].detail == "no elements, as it must be"
    grads = {c.name: c.detail for c in layer.checks if c.name.startswith("grad")}
    assert grads == dict.fromkeys(("grad_input", "grad_weight", "grad_bias"), "0, as no images make it")


@pytest.mark.parametrize("name", ["faithful", "crashing", "refusing", "widened"])
def test_an_empty_batch_is_really_run(name: str) -> None:
    wrong = Conv(axes=axes((3, 2)), out_channels=5)
    (layer,) = verify(planned((wrong, (0, 4, 7, 8))), against=f"verify_fakes:{name}", explain=False).layers
    assert layer.status.bad == (name != "faithful")


def test_estimates_grow_with_the_layer_and_cover_its_arrays() -> None:
    layer: Layer = DeformConv(axes=axes((3, 3), padding=1), out_channels=8).settled((4, 30, 30))
    small, large = (estimate.forward_bytes(layer, (n,), (4, 30, 30), "float32") for n in (1, 8))
    arrays = 4 * (4 * 900 + 18 * 900 + 8 * 900 + 8 * 4 * 9)
    assert arrays < small < large <= 8 * small
    assert estimate.forward_bytes(layer, (8,), (4, 30, 30), "float64") == 2 * large
    assert estimate.memory_limit() > 2**20


SCRIPT = """
from convcli.axis import axes
from convcli.layers import Conv
from convcli.verifier.run import verify
from verify_fakes import WRONG
from verify_layers import planned
import msgspec, sys
layers = [(Conv(axes=axes((3, 2)), out_channels=outs), (2, 4, 7, 8)) for outs in (3, WRONG, 4)]
outcome = verify(planned(*layers), against="verify_fakes:hanging", dtypes=("float32",),
                 on_verdict=lambda verdict: print(verdict.name, flush=True))
sys.stdout.write(msgspec.json.encode(outcome).decode())
sys.exit(outcome.exit_code)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals to a group of processes")
def test_ctrl_c_reports_what_is_finished_and_leaves_no_process(tmp_path: Path) -> None:
    """From a script without a __main__ guard, which no worker may run again."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    paths = os.pathsep.join(sys.path)
    with subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": paths, "TMPDIR": str(tmp_path)},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "conv_0\n"
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process of the group
        try:
            *told, answer = process.communicate(timeout=20)[0].splitlines()
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        assert process.returncode == 130
    outcome = msgspec.json.decode(answer, type=Outcome)
    assert outcome.interrupted
    assert outcome.layers[0].name == "conv_0"
    assert "conv_1" not in [layer.name for layer in outcome.layers] + told
    assert not list(tmp_path.glob("convcli-*"))
    until = time.monotonic() + 5
    with contextlib.suppress(ProcessLookupError):
        while time.monotonic() < until:
            os.killpg(process.pid, 0)
            time.sleep(0.05)
        pytest.fail("processes are left over")
