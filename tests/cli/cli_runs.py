"""The command line, run in this process (fast) or in one of its own (as users run it)."""

from __future__ import annotations

import gc
import io
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from convcli.cli import app
from convcli.cli.app import COMMANDS

ROOT = Path(__file__).parent.parent.parent
SAMPLES = ROOT / "sample_configs"
REPORTING = ("shape", "params", "flops", "summary")
STEM = "Conv2d(3, 64, 7, stride=2, padding=3, bias=False)"
INPUT = ("-i", "1,3,224,224")
# What decides on colour and width, and must not leak into a test from whoever runs it.
OUTSIDE = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TERM", "GITHUB_ACTIONS", "PY_COLORS", "CLICOLOR_FORCE")

__all__ = ["COMMANDS", "INPUT", "REPORTING", "ROOT", "SAMPLES", "STEM", "Ran", "run", "run_alone"]


class Ran(NamedTuple):
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


class _Bytes(io.BytesIO):
    """Bytes that outlive the text layer put on them."""

    def close(self) -> None:
        self.seek(0)


@contextmanager
def _streams(data: bytes) -> Iterator[tuple[_Bytes, _Bytes]]:
    out, err = _Bytes(), _Bytes()
    with (
        mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(data))),
        mock.patch.object(sys, "stdout", io.TextIOWrapper(out, write_through=True)),
        mock.patch.object(sys, "stderr", io.TextIOWrapper(err, write_through=True)),
    ):
        yield out, err


def outside(env: Mapping[str, str]) -> dict[str, str]:
    """The environment without what decides on colours, and with `env`."""
    return {name: value for name, value in os.environ.items() if name not in OUTSIDE} | dict(env)


def run(*argv: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> Ran:
    """convcli in this process; an exception that leaves it fails the test."""
    with (
        mock.patch.dict(os.environ, outside(env or {}), clear=True),
        mock.patch.object(sys, "argv", ["convcli", *argv]),
        _streams(stdin) as (out, err),
    ):
        try:
            app.run(app.app(list(argv)))
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        finally:
            gc.enable()  # a command, which ends its process, does without
    return Ran(code, out.getvalue().decode(), err.getvalue().decode())


def run_alone(*argv: str, stdin: bytes = b"", env: Mapping[str, str] | None = None, cwd: Path = ROOT) -> Ran:
    """convcli as a process of its own."""
    there = outside({"PYTHONPATH": str(ROOT), **(env or {})})
    ran = subprocess.run(
        [sys.executable, "-m", "convcli", *argv],
        input=stdin,
        capture_output=True,
        env=there,
        cwd=cwd,
        timeout=60,
        check=False,
    )
    return Ran(ran.returncode, ran.stdout.decode(), ran.stderr.decode())
