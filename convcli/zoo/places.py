"""Where the specs of many models and their journal go."""

from __future__ import annotations

from pathlib import Path

from convcli.errors import SpecError
from convcli.verifier.shard import Shard


def journal_name(part: Shard) -> str:
    """import.jsonl, import-3-of-7.jsonl: shards may share a directory."""
    return "import.jsonl" if part.whole else f"import-{part.index}-of-{part.count}.jsonl"


def directory_of(given: str | Path | None, resume: str | Path | None, name: str) -> Path:
    """The directory that the specs go to, made if it is missing; that of the journal `name` that is continued.

    Raises SpecError where there is none, or another one.
    """
    if not (given or resume):
        raise SpecError("several models need a directory for their specs", field="--output", allowed="-o specs/")
    if resume is not None and Path(resume).name != name:
        raise SpecError(f"{resume} is not this run's journal", field="--resume", allowed=f"a file named {name}")
    home = Path(given or Path(str(resume)).parent)
    if resume is not None and Path(resume).parent.resolve() != home.resolve():
        raise SpecError(f"{resume} does not lie in {home}", field="--resume", allowed="the directory of its specs")
    try:
        home.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SpecError(f"cannot write to {home}: {reason}", field="--output") from error
    return home
