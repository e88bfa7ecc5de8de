"""`--save-failures`: the data of every failed check on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from convcli.verifier.explain.experiment import Experiment, Workbench, arrays_of_files, loaded, same, tried
from convcli.verifier.explain.explanation import step_of, trying
from convcli.verifier.explain.saved import FORMAT, Meta, Saved, file_name, written
from convcli.verifier.repro import spelled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from convcli.verifier.fault import Fault
    from convcli.verifier.ledger import Ledger


def keep(workbench: Workbench, ledger: Ledger, directory: Path, versions: Mapping[str, Any]) -> list[Path]:
    """Write a file for every failed check of every layer, the same names for the same failures; which ones."""
    kept: list[Path] = []
    for faults in ledger.faults().values():
        for fault in faults:
            with trying(workbench, fault.step, fault) as tried:
                shown = [(e, _expected(workbench, e)) for e in tried.experiments]
                for number, (experiment, expected) in enumerate(_at_fault(fault, shown)):
                    saved = _saved(workbench, fault, experiment, expected, versions)
                    check = fault.check
                    name = file_name(fault.step.name, check.name, check.dtype, check.method, number)
                    written(directory / name, saved)
                    kept.append(directory / name)
    return kept


Shown = tuple[Experiment, dict[str, Any]]


def _at_fault(fault: Fault, shown: list[Shown]) -> list[Shown]:
    """Of a check's data the first on which the sides differ or one does not answer; every part's, where sums round."""
    own = [pair for pair in shown if pair[0].exact == (fault.check.method == "exact")] or shown
    if fault.elsewhere:
        here = (*fault.step.batch, *fault.step.x)
        own = [pair for pair in own if pair[0].shape != here] or own
    wrong = [pair for pair in own if pair[0].status or (pair[0].exact and _differ(*pair))]
    return wrong[:1] or own


def _differ(experiment: Experiment, expected: dict[str, Any]) -> bool:
    found = arrays_of_files(experiment.found)
    return any(not same(found.get(name), y) for name, y in expected.items())


def _expected(workbench: Workbench, experiment: Experiment) -> dict[str, Any]:
    with workbench.folder() as directory:
        call = workbench.ours(experiment.layer, experiment.sample, experiment.dtype, directory)
        return loaded(*workbench.replies([call])) or {}


def _saved(
    workbench: Workbench, fault: Fault, experiment: Experiment, expected: dict[str, Any], versions: Mapping[str, Any]
) -> Saved:
    wanted, check = workbench.wanted, fault.check
    target = tried(wanted, backward=experiment.backward)
    step = step_of(fault.step, experiment)
    layer, *_ = spelled(step)
    meta = Meta(
        format=FORMAT,
        layer=layer,
        input=experiment.shape,
        name=fault.step.name,
        check=check.name,
        dtype=experiment.dtype,
        exact=experiment.exact,
        seed=wanted.seed,
        against="" if target else wanted.against,
        kernel=target.place if target else "",
        role=target.role if target else "",
        arrays=target.arrays if target else "",
        detail=check.detail,
        versions=msgspec.to_builtins(dict(versions)),
    )
    return Saved(meta, experiment.arrays, expected, arrays_of_files(experiment.found))
