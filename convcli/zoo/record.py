"""What became of every model, as data: a line of the journal, a row of the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from convcli._version import __version__
from convcli.verifier.shard import Share

IMPORTED = "imported"


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """One model. file: its spec. status: IMPORTED, "failed", or what became of the process; reason: of the latter two.

    layers, params, macs: of the spec. complete: false where they are lower bounds. notes: what its reader should know.
    """

    name: str
    target: str
    file: str = ""
    status: str = IMPORTED
    reason: str = ""
    layers: int | None = None
    params: int | None = None
    macs: int | None = None
    complete: bool = True
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        """There is a spec of it."""
        return self.status == IMPORTED

    def inside(self, home: Path) -> Model:
        """The model, its file in the directory in which it is."""
        return msgspec.structs.replace(self, file=str(home / self.file)) if self.file else self


class Imported(msgspec.Struct, frozen=True):
    """A model in the journal. index: its place among all. Its file is the one beside the journal."""

    index: int
    key: str
    model: Model


class Summary(msgspec.Struct, frozen=True):
    """How many there are of which."""

    imported: int
    failed: int
    seconds: float


class Imports(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `import`, where there are several models."""

    schema: int = 1
    convcli: str = __version__
    command: str = "import"
    options: dict[str, Any]
    environment: dict[str, Any]
    models: tuple[Model, ...]
    summary: Summary
    interrupted: bool = False
    share: Share | UnsetType = UNSET

    @property
    def exit_code(self) -> int:
        """130 interrupted; 3 when a model could not be imported, or there was none; else 0."""
        if self.interrupted:
            return 130
        return 0 if self.models and not self.summary.failed else 3


def imports(
    models: tuple[Model, ...],
    *,
    options: dict[str, Any],
    environment: dict[str, Any],
    seconds: float,
    interrupted: bool = False,
    share: Share | UnsetType = UNSET,
) -> Imports:
    """The models, counted."""
    good = sum(model.good for model in models)
    return Imports(
        options=options,
        environment=environment,
        models=models,
        summary=Summary(good, len(models) - good, seconds),
        interrupted=interrupted,
        share=share,
    )
