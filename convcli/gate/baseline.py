"""The baseline: a file, kept in the repository, of what networks cost when somebody last agreed to it.

It holds numbers only: no times, no versions, no absolute paths. Keys are sorted, layers stand in the network's order, a
layer a line, so that a pull request shows what it changes; the same networks give the same bytes everywhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET

from convcli.errors import SpecError
from convcli.gate.numbers import NetworkNumbers, numbers_of
from convcli.plan import Plan
from convcli.records import Scope, network_record

FORM = 1
TYPED, STDIN = "(command line)", "<stdin>"  # the specs of layers that are in no file


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    """specs: by the path of the spec, seen from the baseline's own folder."""

    baseline: int
    dtype: str = "float32"
    specs: dict[str, NetworkNumbers] = {}


def read(path: str | os.PathLike[str]) -> Baseline:
    """The baseline that a file holds. Raises SpecError, also when there is no such file."""
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        repair = "--update-baseline writes it"
        raise SpecError(f"{path}: there is no baseline yet", field="--baseline", repair=repair) from None
    except (OSError, ValueError) as error:
        raise SpecError(f"{path}: {getattr(error, 'strerror', None) or error}", field="--baseline") from None
    return decoded(data, path)


def decoded(data: bytes, path: str | os.PathLike[str]) -> Baseline:
    """The baseline in a file's bytes. Raises SpecError."""
    try:
        found = msgspec.json.decode(data, type=Baseline)
        told = "" if found.baseline == FORM else f"its form is {found.baseline}, this convcli knows {FORM}"
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        told = str(error)
    if told:
        written = "a file that --update-baseline wrote"
        raise SpecError(f"{path}: this is no baseline: {told}", field="--baseline", allowed=written)
    return found


def read_if_there(path: str | os.PathLike[str]) -> Baseline | None:
    """The baseline that a file holds, None when there is no such file. Raises SpecError."""
    return read(path) if os.path.lexists(path) else None


def updated(old: Baseline | None, plans: Iterable[Plan], path: str | os.PathLike[str], dtype: str) -> Baseline:
    """The baseline with the numbers of these networks; specs whose files are gone leave it."""
    networks = [numbers_of(network_record(one, Scope("summary", dtype=dtype))) for one in plans]
    here = Path(path).parent
    kept = old.specs if old and old.dtype == dtype else {}
    specs = {spec: numbers for spec, numbers in kept.items() if spec in {TYPED, STDIN} or (here / spec).exists()}
    specs |= {spec_of(network.source, path): network for network in networks}
    return Baseline(baseline=FORM, dtype=dtype, specs=specs)


def spec_of(source: str, path: str | os.PathLike[str]) -> str:
    """What the baseline in the file `path` calls the spec `source`: its path from there, with slashes."""
    if not source or source == STDIN:
        return source or TYPED
    try:
        return Path(os.path.relpath(source, Path(path).parent)).as_posix()
    except ValueError:  # on another drive
        raise SpecError(
            f"{source} and {path} are on different drives", field="--baseline", allowed="a path beside the specs"
        ) from None


def text(baseline: Baseline) -> str:
    """The file's text, to the byte."""
    specs = ",\n".join(_spec(name, baseline.specs[name]) for name in sorted(baseline.specs))
    lines = ["{", f'  "baseline": {FORM},', f'  "dtype": {_json(baseline.dtype)},', '  "specs": {', specs, "  }", "}"]
    return "\n".join(line for line in lines if line) + "\n"


def _spec(name: str, network: NetworkNumbers) -> str:
    layers = (msgspec.structs.replace(layer, line=UNSET) for layer in network.layers)
    rows = ",\n".join(f"        {_json(layer)}" for layer in layers)
    return f"""    {_json(name)}: {{
      "complete": {_json(network.complete)},
      "input": {_json(network.input)},
      "layers": [
{rows}
      ],
      "name": {_json(network.name)},
      "totals": {_json(network.totals)}
    }}"""


def _json(value: Any) -> str:
    """On one line, keys sorted, ASCII only."""
    from json import dumps  # only a baseline that is written needs it

    return dumps(msgspec.to_builtins(value), sort_keys=True)
