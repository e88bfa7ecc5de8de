"""A dask cluster whose workers are killed: nothing is lost, nothing is done twice in the report."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from journal_runs import HERE, said
from test_many_bench import network, rows
from test_shards import plain

import convcli
from convcli.errors import Unchecked

pytestmark = pytest.mark.dask
OPTIONS: dict[str, Any] = {"against": "verify_fakes:hurried", "dtypes": ("float32",), "cases": 120}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """(the address for --executor, the process whose children are the workers), by the documentation's commands."""
    home = tmp_path_factory.mktemp("dask")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])}
    file = home / "scheduler.json"
    common: dict[str, Any] = {"env": env, "cwd": home, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    words = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
    scheduler = subprocess.Popen([sys.executable, "-m", "dask", "scheduler", *words], text=True, **common)
    words = ["--nworkers", "2", "--nthreads", "1", "--no-dashboard", "--scheduler-file", str(file)]
    workers = subprocess.Popen([sys.executable, "-m", "dask", "worker", *words], text=True, **common)
    try:
        until = time.monotonic() + 60
        while not file.exists() and time.monotonic() < until:
            time.sleep(0.1)
        yield json.loads(file.read_text())["address"].replace("tcp://", "dask://"), workers
    finally:
        for process in (workers, scheduler):
            process.terminate()
            process.wait(30)


def killing(parent: int, journal: Path, stop: threading.Event, killed: list[int]) -> None:
    """kill -9 for a worker whenever there are some more results, three times."""
    while not stop.wait(0.05) and len(killed) < 3:
        if not journal.exists() or journal.read_bytes().count(b"\n") <= 1 + 25 * len(killed):
            continue
        lists = [file.read_text().split() for file in Path(f"/proc/{parent}/task").glob("*/children")]
        children = [int(pid) for found in lists for pid in found]
        workers = [pid for pid in children if "resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_text()]
        if workers:
            killed.append(workers[0])
            os.kill(workers[0], signal.SIGKILL)


def test_a_cluster_whose_workers_die_reports_what_one_machine_does(
    cluster: tuple[str, subprocess.Popen[str]], tmp_path: Path
) -> None:
    (address, workers), journal = cluster, tmp_path / "run.jsonl"
    stop, killed = threading.Event(), list[int]()
    thread = threading.Thread(target=killing, args=(workers.pid, journal, stop, killed))
    thread.start()
    try:
        there = convcli.fuzz(["conv"], **OPTIONS, executor=address, journal=journal)
    finally:
        stop.set()
        thread.join()
    assert killed
    assert plain(there) == plain(convcli.fuzz(["conv"], **OPTIONS))
    assert len(journal.read_text().splitlines()) == OPTIONS["cases"] + 2


def test_the_command_says_no_more_than_without(cluster: tuple[str, subprocess.Popen[str]]) -> None:
    words = ["fuzz", "--kind", "separable", "--cases", "20", "--against", "verify_fakes:faithful"]
    assert "20 cases: 20 passed" in said(*words, "--executor", cluster[0])


def test_a_cluster_measures(cluster: tuple[str, subprocess.Popen[str]], tmp_path: Path) -> None:
    journal, layers = tmp_path / "run.jsonl", network(*range(2, 8))
    options: dict[str, Any] = {"against": ("verify_fakes:crashing",), "seconds": 0.1}
    there = convcli.bench(layers, **options, executor=cluster[0], journal=journal)
    assert rows(there) == rows(convcli.bench(layers, **options))
    assert len(journal.read_text().splitlines()) == 6 + 2
    assert [layer.status for layer in there.layers].count("crashed") == 1


def test_a_cluster_imports_models(cluster: tuple[str, subprocess.Popen[str]], tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    x, y = (onnx.helper.make_tensor_value_info(name, 1, [1, 3, 8, 8]) for name in "xy")
    for operator in ("Relu", "Sigmoid"):
        graph = onnx.helper.make_graph([onnx.helper.make_node(operator, ["x"], ["y"])], "graph", [x], [y])
        onnx.save(onnx.helper.make_model(graph, ir_version=8), tmp_path / f"{operator}.onnx")
    targets = [str(tmp_path / name) for name in ("Relu.onnx", "missing.onnx", "Sigmoid.onnx")]
    here, there = (
        convcli.import_models(targets, directory=tmp_path / name, executor=name if name == "local" else cluster[0])
        for name in ("local", "dask")
    )
    assert [model.status for model in there.models] == ["imported", "failed", "imported"]
    assert [model.reason for model in there.models] == [model.reason for model in here.models]
    for name in ("Relu.yaml", "Sigmoid.yaml"):
        assert (tmp_path / "dask" / name).read_bytes() == (tmp_path / "local" / name).read_bytes()


def test_a_scheduler_that_is_not_there_is_said() -> None:
    import dask

    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(Unchecked, match=r"dask://127\.0\.0\.1:9"),
    ):
        convcli.fuzz(["conv"], cases=1, against="verify_fakes:faithful", executor="dask://127.0.0.1:9")
