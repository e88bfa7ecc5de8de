"""How much memory a stranger's function may take: more than that is refused to it, before the machine suffers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LIBRARIES = 1 << 30  # what compilers, threads and libraries loaded late may add


@contextmanager
def limited(memory: int) -> Iterator[None]:
    """Inside, the process may take `memory` bytes, and what libraries need, beyond what it holds: then MemoryError.

    The limit is on writable private memory, RLIMIT_DATA: torch and CUDA reserve addresses far beyond what they use.
    Where the system has no such limit, its own answer to a lack of memory is the only one.
    """
    held = _held()
    if held is None:
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = [limit for limit in (soft, hard, held + memory + LIBRARIES) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min(most), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _held() -> int | None:
    """The writable private memory of this process, in bytes; None where the system neither tells nor limits it."""
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmData:"):
                return int(line.split()[1]) * 1024
    except OSError:  # not Linux
        pass
    return None
