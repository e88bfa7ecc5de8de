"""Arrays between processes: large ones as files that the receiver maps, small ones in the messages themselves.

Both sides read one copy of a file; but a file costs more than a tiny layer.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from convcli.verifier.formats import in_format, stored

if TYPE_CHECKING:
    from convcli.backends import Array
    from convcli.verifier.case import Fill


SMALL = 1 << 14  # bytes that a message carries
Stored = Any  # the name of a file, or the array itself


class Lost(Exception):  # noqa: N818 - whoever wrote the file is at fault
    """A file is gone, or is not what was written."""


class Sample(msgspec.Struct, frozen=True):
    """A fill on its way: each array as it is stored, and what its numbers are divided by."""

    files: dict[str, Stored]
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
    """Store a fill's arrays, the large ones below `directory`."""
    files = {name: save(directory, f"{label}.{name}", array) for name, array in fill.arrays.items()}
    return Sample(files, dict(fill.scales))


def save(directory: str, label: str, array: Array) -> Stored:
    """A copy of a small array, or the name of the file that a large one is written to."""
    if array.nbytes <= SMALL:
        return np.array(array)
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    path = str(folder / f"{label}.npy")
    np.save(path, array, allow_pickle=False)
    return path


def load(stored: Stored) -> Array:
    """What was stored; a file is mapped, read only. Raises Lost."""
    if not isinstance(stored, str):
        return np.asarray(stored)
    try:
        array: Array = np.load(stored, mmap_mode="r", allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise Lost(f"{Path(stored).name} is gone or torn: {type(error).__name__}") from error
    return np.asarray(array)
