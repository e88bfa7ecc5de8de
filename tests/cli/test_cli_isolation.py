"""What a kernel may do to the process it runs in: a row with its status, exit code 1, and the rest of the report.

Each of them has two layers: the kernel does its worst on the one with 5 output channels, and is right on the other.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from cli_runs import ROOT, Ran, outside, run_alone

from convcli.verifier.workers import processes_starved

LONG = pytest.mark.long
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and limits")
LAYERS = ("Conv2d(4, 5, 3)", "Conv2d(5, 2, 3)", "-i", "1,4,7,8", "--dtype", "float32", "--format", "json")
LARGE = (*LAYERS[:3], "1,4,60,70", *LAYERS[4:])  # so large that its data are files
START = """
import ctypes, glob, os, signal, sys, tempfile, threading, time
import numpy as np
def right(x, weight, bias):
    windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], axis=(2, 3))
    return np.einsum("nchwij,ocij->nohw", windows, weight) + bias[:, None, None]
def conv(x, weight, bias, **_):
    y = right(x, weight, bias)
    return worst(x, weight, y) if len(weight) == 5 else y
"""
SHARED = "class Silent(Exception):\n    def __str__(self): raise ValueError\n"


def ran_with(
    tmp_path: Path, body: str, *flags: str, before: str = "", cwd: Path = ROOT, layers: tuple[str, ...] = LAYERS
) -> tuple[Ran, list[Any]]:
    """The run, and its two layers as the report has them."""
    lines = "\n    ".join(body.split("; "))
    file = tmp_path / "own.py"
    file.write_text(f"{START}{before}def worst(x, weight, y):\n    {lines}\n")
    ran = run_alone("verify", *layers, "--kernel", f"{file}:conv", *flags, env={"TMPDIR": str(tmp_path)}, cwd=cwd)
    assert ran.out, ran.err
    return ran, json.loads(ran.out)["layers"]


def words(layer: Any) -> str:
    return " ".join(check["detail"] for check in layer["checks"])


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        pytest.param("ctypes.string_at(0)", "crashed", "SIGSEGV", id="segfault"),
        pytest.param("os.abort()", "crashed", "SIGABRT", id="abort", marks=LONG),
        pytest.param("os._exit(0)", "crashed", "left with code 0", id="exit 0"),
        pytest.param("os._exit(7)", "crashed", "left with code 7", id="exit 7", marks=LONG),
        pytest.param("sys.exit(0)", "error_mismatch", "SystemExit: 0", id="sys.exit", marks=LONG),
        pytest.param("raise KeyboardInterrupt", "error_mismatch", "KeyboardInterrupt", id="keyboard", marks=LONG),
        pytest.param("raise Silent", "error_mismatch", "conv: Silent", id="str raises"),
        pytest.param("return None", "error_mismatch", "returned NoneType, not an array", id="None", marks=LONG),
        pytest.param("return y.tolist()", "error_mismatch", "returned list, not an array", id="list", marks=LONG),
        pytest.param("return y.astype(object)", "error_mismatch", "an array of object", id="objects", marks=LONG),
        pytest.param("return y.astype('f8')", "failed", "gave float64, expected float32", id="dtype", marks=LONG),
        pytest.param("return y[..., 1:]", "shape_mismatch", "(1, 5, 5, 5)", id="shape", marks=LONG),
        pytest.param("return y * np.nan", "failed", "gave nan", id="nan"),
        pytest.param("x[...] = y.flat[0]; return y", "failed", "it writes to its input x", id="writes"),
        pytest.param(
            "room = x.reshape(-1)[:y.size].reshape(y.shape); room[...] = y; return room",
            "failed",
            "it returns a view of its input x",
            id="view",
        ),
        pytest.param("os.kill(os.getppid(), signal.SIGTERM); time.sleep(9)", "crashed", "code 255", id="parent"),
        pytest.param("np.ones(100 << 27); return y", "out_of_memory", "Unable to allocate", id="100 GB"),
        pytest.param(
            "np.zeros(100 << 27); return y", "out_of_memory", "Unable to allocate", id="100 GB untouched", marks=LONG
        ),
    ],
)
def test_its_row_and_the_rest_of_the_report(tmp_path: Path, body: str, status: str, said: str) -> None:
    start = time.monotonic()
    ran, (worst, healthy) = ran_with(tmp_path, body, before=SHARED)
    assert (worst["status"], healthy["status"]) == (status, "passed")
    assert said in words(worst)
    assert ran.code == 1
    assert "Traceback" not in ran.err
    assert time.monotonic() - start < 40  # at once, not when the time is up


@pytest.mark.parametrize(
    ("body", "said"),
    [
        pytest.param("time.sleep(600)", "no answer within 2 seconds", id="sleeps"),
        pytest.param(
            "os.kill(os.getpid(), signal.SIGSTOP); return y",
            "no answer within 2 seconds",
            id="stops itself",
            marks=LONG,
        ),
        pytest.param(
            "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)",
            "no answer",
            id="ignores the signal",
            marks=LONG,
        ),
    ],
)
def test_what_never_ends_is_ended(tmp_path: Path, body: str, said: str) -> None:
    ran, (worst, healthy) = ran_with(tmp_path, body, "--timeout", "2")
    assert (worst["status"], healthy["status"]) == ("timed_out", "passed")
    assert said in words(worst)
    assert ran.code == 1


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("print('garbage'); os.write(1, b'more'); sys.stdout.flush(); return y", id="prints"),
        pytest.param("os.closerange(1, 3); return y", id="closes its output"),
        pytest.param("sys.stdout = sys.stderr = None; return y", id="has no output", marks=LONG),
        pytest.param("os.chdir('/'); return y", id="changes its folder", marks=LONG),
        pytest.param("os.fork(); return y", id="returns twice"),
        pytest.param("os.fork() or time.sleep(600); return y", id="leaves a child"),
        pytest.param(
            "threading.Thread(target=time.sleep, args=(600,), daemon=True).start(); return y", id="a thread", marks=LONG
        ),
        pytest.param("threading.Thread(target=time.sleep, args=(600,)).start(); return y", id="a thread that stays"),
        pytest.param("signal.signal(signal.SIGTERM, signal.SIG_IGN); return y", id="will not be ended"),
    ],
)
def test_what_does_no_harm_passes_and_leaves_nothing_behind(tmp_path: Path, body: str) -> None:
    """The report is all of standard output; no process keeps it, or the folder of the data, alive."""
    start = time.monotonic()
    ran, layers = ran_with(tmp_path, body)
    assert [layer["status"] for layer in layers] == ["passed", "passed"]
    assert ran.code == 0
    assert time.monotonic() - start < 40
    assert not list(tmp_path.glob("convcli-*"))
    assert ("garbage" in ran.err) == ("garbage" in body)  # standard error's


def test_one_that_deletes_the_data(tmp_path: Path) -> None:
    """Wherever it finds them; the layer after it gets data of its own."""
    body = "import shutil; shutil.rmtree(glob.glob(tempfile.gettempdir() + '/convcli-*')[0]); return y"
    ran, (worst, healthy) = ran_with(tmp_path, body, "--jobs", "1", layers=LARGE)
    assert worst["status"] in {"crashed", "error_mismatch"}
    assert ran.code == 1
    assert "Traceback" not in ran.err
    assert healthy["name"] == "conv2d_2"


def test_one_that_replaces_its_results(tmp_path: Path) -> None:
    """A torn file is its row too."""
    body = (
        "[open(f, 'w').close() for f in glob.glob(tempfile.gettempdir() + '/convcli-*/*/given/*.theirs.*')]; return y"
    )
    ran, (worst, healthy) = ran_with(tmp_path, body, layers=LARGE)
    assert worst["status"] in {"crashed", "error_mismatch"}
    assert "gone or torn" in words(worst)
    assert healthy["status"] == "passed"
    assert "Traceback" not in ran.err


TENSORS = """
import torch
def conv(x, weight, bias, **_):
    y = torch.from_numpy(right(*map(np.asarray, (x, weight, bias))))
    return worst(x, weight, y) if len(weight) == 5 else y
"""


@pytest.mark.parametrize(
    ("step", "before", "flags"),
    [
        pytest.param("np.ones(1 << 25)", "", (), id="numpy"),
        pytest.param(
            "torch.ones(1 << 26)", TENSORS, ("--arrays", "torch"), marks=[pytest.mark.torch, LONG], id="torch"
        ),
    ],
)
def test_memory_that_is_taken_step_by_step(tmp_path: Path, step: str, before: str, flags: tuple[str, ...]) -> None:
    """Refused long before the machine suffers: --max-memory is what a kernel may take, beside its libraries."""
    body = f"global taken; taken = []; [taken.append({step}) for _ in range(400)]; return y"
    _, (worst, healthy) = ran_with(tmp_path, body, "--max-memory", "100MB", *flags, before=before)
    assert (worst["status"], healthy["status"]) == ("out_of_memory", "passed")


def descendants(pid: int) -> set[int]:
    """The processes below one, from /proc."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(stat.parent.name)] = int(fields[1])
    found, more = set[int](), {pid}
    while more:
        more = {child for child, parent in parents.items() if parent in more}
        found |= more
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc")
def test_a_worker_that_is_killed_from_outside(tmp_path: Path) -> None:
    """kill -9 of the process in which the kernel is."""
    mark = tmp_path / "here"
    file = tmp_path / "own.py"
    body = f"open({str(mark)!r}, 'w').write(str(os.getpid()))\n    time.sleep(600)"
    file.write_text(f"{START}def worst(x, weight, y):\n    {body}\n")
    command = [sys.executable, "-m", "convcli", "verify", *LAYERS, "--kernel", f"{file}:conv"]
    env = outside({"PYTHONPATH": str(ROOT)})
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path, env=env) as process:
        until = time.monotonic() + 40
        while not (mark.exists() and mark.read_text()):
            assert time.monotonic() < until
            time.sleep(0.02)
        worker = int(mark.read_text())
        assert worker in descendants(process.pid)
        os.kill(worker, signal.SIGKILL)
        out, err = process.communicate(timeout=40)
    worst, healthy = json.loads(out)["layers"]
    assert worst["status"] == ("out_of_memory" if processes_starved() is None else "crashed")
    assert "SIGKILL" in words(worst)
    assert healthy["status"] == "passed"
    assert process.returncode == 1
    assert b"Traceback" not in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_reports_what_is_done(tmp_path: Path, number: int) -> None:
    """Ctrl-C, or a request to end, in the middle of the last layer."""
    mark, file = tmp_path / "here", tmp_path / "own.py"
    file.write_text(
        START + f"    \ndef worst(x, weight, y):\n    open({str(mark)!r}, 'w').close()\n    time.sleep(600)\n"
    )
    layers = ("Conv2d(4, 2, 2)", *["Conv2d(2, 2, 2)"] * 3, "Conv2d(2, 5, 2)", *LAYERS[2:])
    command = [sys.executable, "-m", "convcli", "verify", *layers, "--jobs", "1", "--kernel", f"{file}:conv"]
    env = outside({"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)})
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=tmp_path, env=env) as process:
        until = time.monotonic() + 40
        while not mark.exists():
            assert time.monotonic() < until
            time.sleep(0.02)
        time.sleep(0.5)
        process.send_signal(number)
        out, _ = process.communicate(timeout=40)
    done, *_ = json.loads(out)["layers"]
    assert (done["name"], done["status"]) == ("conv2d_1", "passed")
    assert process.returncode == 130
    assert not list(tmp_path.glob("convcli-*"))


@pytest.mark.torch
def test_offsets_that_are_not_numbers_in_torchvision(tmp_path: Path) -> None:
    """Its kernel reads memory at them: most often a segmentation fault, else NaN."""
    file = tmp_path / "own.py"
    file.write_text(
        "import torch, torchvision\n"
        "def deform(x, offset, weight, bias, mask, stride, padding, dilation):\n"
        "    offset = offset * float('nan') if len(weight) == 5 else offset\n"
        "    around = [before for before, _ in padding]\n"
        "    return torchvision.ops.deform_conv2d(x, offset, weight, bias, stride, around, dilation, mask)\n"
    )
    layers = ("DeformConv2d(3, 5, 3, padding=1)", "DeformConv2d(5, 4, 3, padding=1)", "-i", "1,3,64,64", *LAYERS[4:])
    ran = run_alone("verify", *layers, "--arrays", "torch", "--kernel", f"{file}:deform")
    worst, healthy = json.loads(ran.out)["layers"]
    assert worst["status"] in {"crashed", "failed"}
    assert (healthy["status"], ran.code) == ("passed", 1)
