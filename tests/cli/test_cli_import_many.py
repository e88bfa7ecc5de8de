"""`convcli import` of many models, in real processes: what one does to its process costs no other its spec."""

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

import pytest
from cli_runs import ROOT, Ran, outside, run, run_alone
from test_cli_imports import loaded

MODELS = """
import os, sys, time
import torch
from torch import nn
from blocks import WIDTH

print("hello from the model")

class Net(nn.Module):
    def __init__(self, width=WIDTH):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)
    def forward(self, x):
        return self.conv(x).relu()

def aborts(): os.abort()
def hangs(): time.sleep(600)
def leaves(): sys.exit("goodbye")
def quits(): os._exit(0)
def raises(): raise ValueError("not built")
def greedy(): return torch.zeros(1 << 50)
class Fold(Net):
    def forward(self, x):
        return torch.linalg.det(self.conv(x)[..., :6, :6])
"""
EXECUTORS = """
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
def processes():
    return ProcessPoolExecutor(2, mp_context=get_context("spawn"))
"""
INPUT = ("-i", "1,3,8,8")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Two files of one name, each with a file of one name beside it that it imports."""
    for name, width in (("a", 4), ("b", 5)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "net.py").write_text(MODELS, encoding="utf-8")
        (tmp_path / name / "blocks.py").write_text(f"WIDTH = {width}", encoding="utf-8")
    return tmp_path


def specs(home: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(home.glob("*.yaml"))}


def without_times(text: str) -> str:
    return re.sub(r'("seconds": ?|in )[\d.]+', r"\g<1>0", text)


@pytest.mark.torch
def test_what_a_model_does_to_its_process_is_a_row_of_the_report(home: Path) -> None:
    good = ["a/net.py:Net", "b/net.py:Net", "a/net.py:Fold"]
    bad = {
        "aborts": ("crashed", "the process died: SIGABRT"),
        "hangs": ("timed_out", "no answer within 5 seconds"),
        "leaves": ("failed", "building a/net.py:leaves raised SystemExit: goodbye"),
        "quits": ("crashed", "the process left with code 0"),
        "raises": ("failed", "building a/net.py:raises raised ValueError: not built"),
        "missing": ("failed", "a/net.py has no 'missing'"),
    }
    targets = [good[0], *(f"a/net.py:{name}" for name in bad), *good[1:]]
    ran = run_alone("import", *targets, *INPUT, "-o", "zoo/", "-f", "json", "--timeout", "5", cwd=home)
    assert ran.code == 3
    assert set(ran.err.splitlines()) == {"hello from the model"}
    models = json.loads(ran.out)["models"]
    assert [model["target"] for model in models] == targets
    for model, (status, reason) in zip(models[1:-2], bad.values(), strict=True):
        assert model["status"] == status
        assert model["reason"].startswith(reason)
    assert [(model["file"], model["params"]) for model in models if model["status"] == "imported"] == [
        ("zoo/Net.yaml", 112),
        ("zoo/b.net.Net.yaml", 140),
        ("zoo/Fold.yaml", 112),
    ]
    assert not models[-1]["complete"]
    alone = run_alone("import", good[1], *INPUT, cwd=home)
    assert (home / "zoo" / "b.net.Net.yaml").read_text() == alone.out


def onnx_file(path: Path, outs: int) -> None:
    """relu(conv(x)) of an open batch."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper, save

    nodes = [helper.make_node("Conv", ["x", "w"], ["a"]), helper.make_node("Relu", ["a"], ["y"])]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.zeros((outs, 3, 3, 3), np.float32), "w")],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), str(path))


ONNX = [f"{name}.onnx" for name in ("one", "two", "torn", "missing", "three")]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """ONNX files, one of them torn, one not there."""
    pytest.importorskip("onnx")
    for outs, name in ((4, "one"), (6, "two"), (8, "three")):
        onnx_file(tmp_path / f"{name}.onnx", outs)
    (tmp_path / "torn.onnx").write_bytes((tmp_path / "two.onnx").read_bytes()[:200])
    return tmp_path


def test_onnx_files_are_models_too(files: Path) -> None:
    ran = run_alone("import", *ONNX, "-i", "batch=2", "-o", "zoo", "-o", "zoo.csv", cwd=files)
    assert (ran.code, ran.err) == (3, "")
    rows = (files / "zoo.csv").read_text().splitlines()[1:]
    assert [row.split(",")[4] for row in rows] == ["imported", "imported", "failed", "failed", "imported"]
    assert "this is no ONNX file" in rows[2]
    assert "there is no such file" in rows[3]
    alone = run_alone("import", "two.onnx", "-i", "batch=2", cwd=files)
    assert (files / "zoo" / "two.yaml").read_text() == alone.out
    again = run_alone("import", *ONNX, "-i", "batch=2", "--resume", "zoo/import.jsonl", cwd=files)
    assert without_times(again.out) == without_times(ran.out)


def test_workers_of_an_executor_are_other_processes_alone(files: Path) -> None:
    (files / "ours.py").write_text(EXECUTORS, encoding="utf-8")
    here, there = (
        run_alone("import", *ONNX, "-i", "batch=2", "-o", name, *more, cwd=files)
        for name, more in (("here", ()), ("other", ("--executor", "ours:processes")))
    )
    assert without_times(there.out.replace("other/", "here/")) == without_times(here.out)
    assert (here.code, there.code) == (3, 3)
    assert specs(files / "other") == specs(files / "here")


def test_killed_at_any_moment_and_continued_it_is_as_if_nothing_had_happened(files: Path) -> None:
    home, given = files, ("-i", "batch=2")
    whole = run_alone("import", *ONNX, *given, "-o", "whole", "-f", "json", cwd=home)
    path, rng, kills = home / "zoo" / "import.jsonl", random.Random(5), 0  # noqa: S311
    while True:
        words = ["--resume", str(path)] if path.exists() else ["-o", "zoo"]
        argv = [sys.executable, "-m", "convcli", "import", *ONNX, *given, *words, "-f", "json"]
        env, pipe = outside({"PYTHONPATH": str(ROOT)}), subprocess.PIPE
        process = subprocess.Popen(
            argv, env=env, cwd=home, stdout=pipe, stderr=subprocess.DEVNULL, text=True, start_new_session=True
        )
        before, until = path.stat().st_size if path.exists() else 0, time.monotonic() + 60
        while kills < 3 and process.poll() is None and time.monotonic() < until:
            if path.exists() and path.stat().st_size > before:
                time.sleep(rng.random() / 2)
                os.killpg(process.pid, signal.SIGKILL)
                kills += 1
                break
            time.sleep(0.005)
        out, _ = process.communicate(timeout=60)
        if process.returncode != -signal.SIGKILL:
            break
    assert kills == 3
    assert without_times(out.replace(str(home / "zoo"), "whole")) == without_times(whole.out)
    assert specs(home / "zoo") == specs(home / "whole")
    journals = [without_times((home / name / "import.jsonl").read_text()) for name in ("zoo", "whole")]
    assert journals[0] == journals[1]


def convcli(*words: str, code: int = 2) -> Ran:
    ran = run("import", *words)
    assert (ran.code, ran.out) == (code, ""), ran
    return ran


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("a:b", "c:d", *INPUT), "several models need a directory.*-o specs/"),
        (("a:b", "c:d", *INPUT, "-o", "zoo.yaml"), r"--output zoo\.yaml: several models go to one directory"),
        (("a:b", "c:d", *INPUT, "-o", "zoo", "-o", "too"), "--output zoo too: several models go to one directory"),
        (("a:b", "c:d", *INPUT, "-o", "zoo.jsonl"), r"--output zoo\.jsonl: several models go to one directory"),
        (("a:b", *INPUT, "-f", "json"), "several models need a directory"),
        (("a:b", *INPUT, "-f", "yaml", "-o", "zoo/"), "--format yaml is not known"),
        (("a:b", "c:d", *INPUT, "-o", "zoo/", "--name", "e"), "--name is one model's"),
        (("a:b", "c:d", *INPUT, "--resume", "zoo/run.jsonl"), "zoo/run.jsonl is not this run's journal"),
        (("a:b", "c:d", *INPUT, "--resume", "no/import.jsonl"), "cannot read no/import.jsonl"),
        (("--resume", "zoo/import.jsonl"), "there is no model to import"),
        (("a:b", "c", *INPUT, "-o", "zoo/"), "'c' names no model"),
        (("a:b", "c:d", *INPUT, "-o", "zoo/", "--arg", "n"), "--arg n; allowed: name=value"),
        (("a:b", "c:d", *INPUT, "-o", "zoo/", "--executor", "none:such"), "No module named 'none'"),
    ],
)
def test_a_wrong_command_line_is_told_in_words(
    words: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = convcli(*words)
    assert re.search(said, ran.err), ran.err
    assert "Traceback" not in ran.err
    assert not list(tmp_path.rglob("*.yaml"))


def test_help_loads_nothing_of_what_it_tells() -> None:
    modules = loaded("import", "--help")
    assert not {"torch", "numpy", "pebble", "rich", "multiprocessing", "convcli.zoo.run"} & modules
