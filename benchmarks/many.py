"""Many cases: what an executor costs, what a second worker brings, what is lost when workers die, what memory it takes.

    python benchmarks/many.py overhead [--cases N]          dask's workers against the local ones, per case
    python benchmarks/many.py workers [--cases N]           one local worker and two, cases of about 5 ms
    python benchmarks/many.py kills [--cases N] [--every S] a dask cluster of four workers, one killed every S seconds
    python benchmarks/many.py memory [--cases N ...]        verify on streams of N layers, results simulated
    python benchmarks/many.py merge [--cases N ...]         seven shards' journals of N layers, results simulated
    python benchmarks/many.py hosts                         two hosts in network namespaces (needs root and ip)

Ratios of interleaved runs; the other side is `small`, convcli's own kernels, so that no library need be installed but
distributed. `pip install "convcli[dask]"`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).resolve().parent
MODULE = "many:small"  # this file, as a backend
FIELDS = {  # the least value of each, and how many
    "channels": (1, 5),
    "kernel_size": (1, 3),
    "stride": (1, 4),
    "padding": (0, 4),
    "dilation": (1, 3),
    "out_channels": (1, 2),
    "bias": (0, 2),
    "size": (8, 38),
}


def spec(path: Path, count: int) -> Path:
    """Up to 109,440 layers of few products, no two alike; then the same again."""
    with path.open("w") as file:
        for n in range(count):
            digits, rest = {}, n
            for field, (least, values) in FIELDS.items():
                rest, digit = divmod(rest, values)
                digits[field] = least + digit
            layer = {"name": f"l{n}", "type": "Conv1d", "input": [1, digits.pop("channels"), digits.pop("size")]}
            file.write(json.dumps({**layer, **digits, "bias": bool(digits["bias"])}) + "\n")
    return path


class Small:
    """A backend: our own kernels."""

    def versions(self) -> dict[str, str]:
        """None of its own."""
        return {}

    def forward(self, layer: Any, arrays: Any) -> Any:
        """Ours."""
        from convcli.backends import numpy as ours

        return ours.forward(layer, arrays)

    def accepts(self, *asked: Any) -> Any:
        """What we take."""
        from convcli.backends import numpy as ours

        return ours.accepts(*asked)

    def facts(self, layer: Any, shape: tuple[int, ...]) -> Any:
        """What we say."""
        from convcli.backends import Facts

        x = shape[1:]
        return Facts(layer.output_shape(shape), layer.tensors(x), layer.counts(x, shape[0]).macs)


small = Small()


class Instant(Executor):
    """Workers that need no time: every check passes."""

    _max_workers = 2

    def submit(self, function: Any, /, chunk: Any, **_: Any) -> Future[Any]:  # noqa: ARG002
        """The answer at once."""
        from convcli.verifier.many.chunk import Answer
        from convcli.verifier.verdict import Check, Status

        told: Future[Any] = Future()
        checks = ((Check("forward", "exact", Status.PASSED, "float32", detail="simulated"),),)
        environment = {"numpy": "0", "rounds": False}
        told.set_result(Answer((checks,) * len(chunk.items), 0.005 * len(chunk.items), environment))
        return told


@contextmanager
def cluster(workers: int) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """(the address for --executor, the process whose children are the workers), as docs/many.md starts them."""
    with tempfile.TemporaryDirectory() as home:
        file = Path(home) / "scheduler.json"
        common: dict[str, Any] = {"env": environment(), "cwd": home, "stdout": subprocess.DEVNULL}
        common["stderr"] = subprocess.DEVNULL
        shared = ["--no-dashboard", "--scheduler-file", str(file)]
        dask = [sys.executable, "-m", "dask"]
        scheduler = subprocess.Popen([*dask, "scheduler", "--host", "127.0.0.1", "--port", "0", *shared], **common)
        sizes = ["--nworkers", str(workers), "--nthreads", "1"]
        nanny = subprocess.Popen([*dask, "worker", *sizes, *shared], **common)
        try:
            while not file.exists():
                time.sleep(0.1)
            yield json.loads(file.read_text())["address"].replace("tcp://", "dask://"), nanny
        finally:
            for process in (nanny, scheduler):
                process.terminate()
                process.wait(60)


def environment() -> dict[str, str]:
    """Workers find this file, and start without the threads of a library."""
    path = os.pathsep.join([str(HERE), str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def checked(count: int, executor: str, jobs: int, journal: str | None = None) -> tuple[Any, float]:
    """(the outcome, seconds from the first to the last verdict)"""
    import convcli

    times: list[float] = []
    cpu = time.process_time()
    with tempfile.TemporaryDirectory() as home:
        network = convcli.load(spec(Path(home) / "many.jsonl", count))
        outcome = convcli.verify(
            network,
            against=MODULE,
            dtypes=("float32",),
            executor=executor,
            jobs=jobs,
            journal=journal,
            explain=False,
            on_verdict=lambda _: times.append(time.perf_counter()),
        )
    print(f"  {executor}: {(time.process_time() - cpu) / count * 1e3:.2f} ms of CPU a case in the process that asks")
    return outcome, times[-1] - times[count // 10]


def whole(outcome: Any, count: int) -> None:
    """A figure of a run that failed is none."""
    if outcome.summary.passed != count:
        raise SystemExit(f"{outcome.summary.passed} of {count} passed")


def overhead(count: int) -> None:
    times: dict[str, list[float]] = {"local": [], "dask": []}
    with cluster(2) as (address, _):
        for executor in (*["local", address] * 3,):
            _, seconds = checked(count, executor, 2)
            times["local" if executor == "local" else "dask"].append(seconds / (0.9 * count) * 1e3)
    local, dask = (median(times[name]) for name in times)
    print(f"{count} cases: {local:.2f} ms a case by 2 local workers, {dask:.2f} by 2 of dask: {dask - local:+.2f} ms")
    print({name: [f"{t:.2f}" for t in found] for name, found in times.items()})


def workers(count: int) -> None:
    times: dict[int, list[float]] = {1: [], 2: []}
    for jobs in (1, 2) * 3:
        outcome, seconds = checked(count, "local", jobs)
        whole(outcome, count)
        times[jobs].append(seconds / (0.9 * count) * 1e3)
    one, two = median(times[1]), median(times[2])
    print(f"{count} cases: {one:.2f} ms a case by one local worker, {two:.2f} by two: {one / two:.2f} times as many")
    print({jobs: [f"{t:.2f}" for t in found] for jobs, found in times.items()})


def kills(count: int, every: float) -> None:
    """`fuzz`, whose journal shows what is there, and how often."""
    stop, killed = threading.Event(), []

    def kill(parent: int) -> None:
        while not stop.wait(every):
            lists = [file.read_text().split() for file in Path(f"/proc/{parent}/task").glob("*/children")]
            children = [int(pid) for found in lists for pid in found]
            alive = [pid for pid in children if b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()]
            if alive:
                killed.append(alive[len(killed) % len(alive)])
                os.kill(killed[-1], signal.SIGKILL)

    with tempfile.TemporaryDirectory() as home, cluster(4) as (address, nanny):
        journal = Path(home) / "run.jsonl"
        thread = threading.Thread(target=kill, args=(nanny.pid,))
        thread.start()
        start = time.perf_counter()
        try:
            outcome, _ = checked(count, address, 4, str(journal))
        finally:
            stop.set()
            thread.join()
        seconds = time.perf_counter() - start
        with journal.open("rb") as file:
            told = Counter(json.loads(line)["index"] for line in file if line.startswith(b'{"index"'))
    lost, twice = count - len(told), sum(number > 1 for number in told.values())
    print(
        f"{count} cases in {seconds:.0f} s, {len(killed)} workers killed: {lost} lost, {twice} twice, {outcome.summary}"
    )
    if lost or twice:
        raise SystemExit(1)
    whole(outcome, count)


def each(what: str, counts: list[int]) -> None:
    """Each in a process of its own: the most that it ever held."""
    for count in counts:
        words = [sys.executable, str(Path(__file__)), what, "--cases", str(count)]
        subprocess.run(words, env=environment(), check=True)


def one_memory(count: int) -> None:
    import convcli
    from convcli.spec.stream import Stream

    with tempfile.TemporaryDirectory() as home:
        path, start = spec(Path(home) / "many.jsonl", count), time.perf_counter()
        stream = Stream(path, str(path))
        outcome = convcli.verify(stream, against=MODULE, executor="many:Instant", journal=Path(home) / "run.jsonl")
        seconds = time.perf_counter() - start
    whole(outcome, count)
    told(count, seconds)


def told(count: int, seconds: float) -> None:
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{count:>9,} cases: {most:.0f} MB at most, {seconds / count * 1e3:.3f} ms a case", flush=True)


def one_merge(count: int) -> None:
    """Every thousandth layer failed and was explained."""
    import convcli
    from convcli.verifier.journal import End, Explained, Line, header, line_of
    from convcli.verifier.shard import Shard
    from convcli.verifier.verdict import Check, Explanation, LayerVerdict, Status

    def line(place: int) -> Line:
        status = Status.PASSED if place % 1000 else Status.FAILED
        names = ("shape", "params", "macs", "forward", "forward")
        checks = tuple(Check(name, "exact", status, "float32", detail="simulated") for name in names)
        return Line(place, f"{place:032x}", LayerVerdict(f"l{place}", "Conv1d", status, checks, "convcli verify"), (5,))

    with tempfile.TemporaryDirectory() as home:
        paths = [Path(home) / f"{shard}.jsonl" for shard in range(7)]
        for shard, path in enumerate(paths):
            with path.open("wb") as file:
                options = {"layers": count, "shard": str(Shard(shard + 1, 7))}
                file.write(line_of(header("verify", 0, options, {"numpy": "0"})))
                file.writelines(line_of(line(place)) for place in range(shard, count, 7))
                bad = (place for place in range(shard, count, 7) if not place % 1000)
                file.writelines(line_of(Explained(place, Explanation("forward"))) for place in bad)
                file.write(line_of(End(count)))
        start = time.perf_counter()
        outcome = convcli.merge(paths, journal=Path(home) / "whole.jsonl")
        seconds = time.perf_counter() - start
    if outcome.summary.passed + outcome.summary.failed != count:
        raise SystemExit(str(outcome.summary))
    told(count, seconds)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    one = {"one-memory": one_memory, "one-merge": one_merge}
    names = ["overhead", "workers", "kills", "memory", "merge", *one, "hosts"]
    parser.add_argument("what", choices=names)
    parser.add_argument("--cases", type=int, nargs="*")
    parser.add_argument("--every", type=float, default=20.0)
    asked = parser.parse_args()
    os.environ.update(environment())
    sys.path[:0] = [str(HERE), str(HERE.parent)]
    number = asked.cases[0] if asked.cases else 2000
    if asked.what == "overhead":
        overhead(number)
    elif asked.what == "workers":
        workers(number)
    elif asked.what == "kills":
        kills(asked.cases[0] if asked.cases else 100_000, asked.every)
    elif asked.what in {"memory", "merge"}:
        each(f"one-{asked.what}", asked.cases or [10_000, 100_000, 1_000_000])
    elif asked.what in one:
        one[asked.what](number)
    else:
        return subprocess.run([str(HERE / "two_hosts.sh")], check=False).returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
