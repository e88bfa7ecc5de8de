"""The command in a process of its own, killed at random moments and continued until it comes to its end."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import pytest

from convcli.verifier import session
from convcli.verifier.explain import explanation

HERE = Path(__file__).parent


def command(*words: str, out: int | IO[str] = subprocess.PIPE, **more: str) -> subprocess.Popen[str]:
    """`convcli`, where the fakes can be found."""
    path = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    env = {**os.environ, "PYTHONPATH": path, **more}
    argv = [sys.executable, "-m", "convcli", *words]
    return subprocess.Popen(argv, env=env, stdout=out, stderr=subprocess.PIPE, text=True, start_new_session=True)


def said(*words: str, code: int = 0) -> str:
    """What it prints when nobody disturbs it."""
    process = command(*words)
    out, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (code, ""), errors
    return out


def without_times(text: str) -> str:
    """The same in every run."""
    text = re.sub(r'"seconds": ?[\d.e-]+', '"seconds":0', text)
    return re.sub(r'"(jobs|threads)": ?\d+', r'"\1":0', text)


def killed_until_done(path: Path, words: Callable[[bool, int], list[str]], *, kills: int, seed: int) -> tuple[str, int]:
    """(the report, how often it was killed): `words(again, turn)`, its journal at `path`, sometimes torn."""
    rng, done = random.Random(seed), 0  # noqa: S311
    while True:
        again = path.exists() and path.stat().st_size > 0
        with TemporaryFile("w+") as out:  # a pipe would be full before anybody reads it
            process = command(*words(again, done), out=out)
            before = path.stat().st_size if path.exists() else 0
            until, more = time.monotonic() + rng.uniform(0.3, 1.5), rng.randrange(100, 15000)
            while done < kills and process.poll() is None:
                written = path.stat().st_size if path.exists() else 0
                if written > before + more or time.monotonic() > until:
                    os.killpg(process.pid, signal.SIGKILL)
                    done += 1
                    break
                time.sleep(0.005)
            _, errors = process.communicate(timeout=120)
            out.seek(0)
            report = out.read()
        if process.returncode != -signal.SIGKILL:
            assert errors == ""
            return report, done
        if path.exists() and rng.random() < 0.5:
            data = path.read_bytes()
            path.write_bytes(data + data[-40:-7].replace(b"\n", b" "))  # torn


def same_lines(one: Path, other: Path) -> bool:
    """Two journals, times aside."""
    mine, theirs = (
        [json.loads(without_times(line)) for line in path.read_text().splitlines()] for path in (one, other)
    )
    return bool(mine == theirs)


@contextmanager
def patience() -> Iterator[None]:
    """Explanations have all the time that they need, however busy the machine: they are then the same every time."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(session, "PATIENCE", 60.0)
        patched.setattr(
            explanation.explain, "__kwdefaults__", {**(explanation.explain.__kwdefaults__ or {}), "seconds": 60.0}
        )
        yield
