"""Arrays between processes: files that the receiver maps, so that both sides read one copy and messages stay small.

A worker that dies while it hands over a result leaves a torn file behind, never a torn pipe.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from convcli.verifier.formats import in_format, stored

if TYPE_CHECKING:
    from convcli.backends import Array
    from convcli.verifier.case import Fill


class Lost(Exception):  # noqa: N818 - whoever wrote the file is at fault
    """A file is gone, or is not what was written."""


class Sample(msgspec.Struct, frozen=True):
    """A fill on disk: one file per array, and what its numbers are divided by."""

    files: dict[str, str]
    scales: dict[str, int]

    def load(self, dtype: str) -> dict[str, Array]:
        """The arrays in `dtype`, or in what holds such numbers, the caller's own to change."""
        arrays: dict[str, Array] = {}
        for name, file in self.files.items():
            array = load(file).astype(stored(dtype))
            if name in self.scales:
                array /= np.asarray(self.scales[name], array.dtype)
            arrays[name] = in_format(array, dtype)
        return arrays


def store(directory: str, label: str, fill: Fill) -> Sample:
    """Write a fill's arrays below `directory`."""
    files = {name: save(directory, f"{label}.{name}", array) for name, array in fill.arrays.items()}
    return Sample(files, dict(fill.scales))


def save(directory: str, label: str, array: Array) -> str:
    """Write one array; its file's name."""
    path = str(Path(directory) / f"{label}.npy")
    np.save(path, array, allow_pickle=False)
    return path


def load(path: str) -> Array:
    """Map one array, read only. Raises Lost."""
    try:
        array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise Lost(f"{Path(path).name} is gone or torn: {type(error).__name__}") from error
    return np.asarray(array)
