"""What the commands that run implementations share: `verify`, `fuzz` and `bench`."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import msgspec
import typer

from convcli.errors import SpecError
from convcli.spec.amounts import amount

DTYPES = ("float64", "float32", "float16", "bfloat16")


ResumeOption = Annotated[
    str | None,
    typer.Option(
        "--resume",
        metavar="FILE.jsonl",
        help="Continue the run of these layers that wrote this file.",
        show_default=False,
    ),
]


ShardOption = Annotated[
    str | None,
    typer.Option(
        "--shard", metavar="I/N", help="Work at share I of N alone; `convcli merge` joins them.", show_default=False
    ),
]


ExecutorOption = Annotated[
    str | None,
    typer.Option(
        "--executor",
        metavar="NAME",
        help="Who does the work: local, dask://host:port, or package.module:factory, a function for an executor.",
        show_default=False,
    ),
]


class TrialFlags(msgspec.Struct):
    """Who is put to the test, in which precisions, and within what bounds; None is a flag that was not given."""

    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="BACKEND",
            help="torch (the default), onnxruntime, onnx-reference, jax, tensorflow, or your own as module:name.",
            show_default=False,
        ),
    ] = None
    kernel: Annotated[
        str | None,
        typer.Option(
            "--kernel",
            metavar="PLACE:FUNCTION",
            help="Test a function of your own instead: package.module:function or path/to/file.py:function.",
            show_default=False,
        ),
    ] = None
    arrays: Annotated[
        str | None,
        typer.Option(
            "--arrays",
            metavar="LIBRARY",
            help="What --kernel is given: numpy arrays, if left out, or torch tensors.",
            show_default=False,
        ),
    ] = None
    dtype: Annotated[
        list[str] | None,
        typer.Option(
            "--dtype",
            metavar="DTYPE",
            help="float64, float32, float16 or bfloat16; repeatable. The first two, if left out.",
            show_default=False,
        ),
    ] = None
    jobs: Annotated[int | None, typer.Option("--jobs", "-j", help="Layers checked at once.", show_default=False)] = None
    max_memory: Annotated[
        str | None,
        typer.Option(
            "--max-memory",
            metavar="BYTES",
            help="Skip layers that need more, as in 8GB; half of what is free, if left out.",
            show_default=False,
        ),
    ] = None
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", help="Longest that a backend may take over one layer.")
    ] = 60.0

    def check(self) -> None:
        """Raise SpecError for a data type that is not known."""
        for name in self.dtype or ():
            if name not in DTYPES:
                raise SpecError(f"--dtype {name} is not known", allowed=", ".join(DTYPES))

    @property
    def limits(self) -> dict[str, Any]:
        """The bounds of a run."""
        return {"jobs": self.jobs, "max_memory": bytes_of(self.max_memory), "timeout": self.timeout}


def bytes_of(typed: str | None) -> int | None:
    """8GB as a number. Raises SpecError."""
    try:
        return None if typed is None else amount(typed)
    except SpecError as error:
        raise error.at("--max-memory") from None


@contextmanager
def progress_bar(*, quiet: bool) -> Iterator[Callable[[int, int | None, str], None] | None]:
    """A bar on standard error when that is a terminal; it leaves no trace."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda done, total, name: bar.update(task, completed=done, total=total, description=name)
