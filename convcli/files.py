"""A file written whole or not at all."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from convcli.errors import SpecError


@contextmanager
def replaced(path: str | Path) -> Iterator[BinaryIO]:
    """What is written there becomes the file `path` in one step; a link's target, and a pipe or device in place.

    Nothing is left behind on failure. Raises SpecError with the reason.
    """
    try:
        with _replaced(Path(path)) as file:
            yield file
    except SpecError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        reason = getattr(error, "strerror", None) or error
        raise SpecError(f"cannot write {path}: {reason}", field="--output") from error


@contextmanager
def _replaced(path: Path) -> Iterator[BinaryIO]:
    mode = _mode(path)
    if mode is not None and not stat.S_ISREG(mode):
        with path.open("wb") as file:  # /dev/stdout, a pipe: not ours to replace; a directory refuses
            yield file
        return
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".convcli-{os.urandom(8).hex()}.tmp")
    try:
        with temporary.open("xb") as file:
            yield file
        if mode is not None:
            temporary.chmod(stat.S_IMODE(mode))  # as overwriting would have left it
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _mode(path: Path) -> int | None:
    """The type and permissions of what is there already, None when nothing is."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None
