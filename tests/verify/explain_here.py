"""Failures taken apart in this process: the other side is code of ours, and needs none of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from convcli.plan import Step
from convcli.verifier.explain.experiment import Workbench
from convcli.verifier.explain.explanation import explanation
from convcli.verifier.fault import Fault
from convcli.verifier.here import Here
from convcli.verifier.job import Bench
from convcli.verifier.jobs import Wanted
from convcli.verifier.ledger import Ledger, Subject
from convcli.verifier.mutants import MUTANTS, Mutant, planned
from convcli.verifier.self_test import job_checks
from convcli.verifier.verdict import Explanation
from convcli.verifier.workers import Workers

TYPICAL = (  # large enough to have everything in which a layer can be wrong
    ("Conv2d(8, 12, (3, 2), stride=(2, 1), padding=[(1, 2), (0, 1)], dilation=(1, 2), groups=2)", (3, 8, 9, 11)),
    ("Conv2d(18, 9, 3, padding=1)", (3, 18, 5, 7)),
    ("Conv1d(4, 6, 3, stride=3, padding=2, dilation=2)", (3, 4, 14)),
    ("Conv1d(4, 6, 4, padding='same_upper', stride=3)", (2, 4, 12)),
    ("Conv2d(2, 4, 3, padding=(2, 1), padding_mode='reflect')", (2, 2, 6, 5)),
    ("Conv2d(2, 4, 3, padding=(2, 1), padding_mode='replicate')", (2, 2, 6, 5)),
    ("Conv2d(2, 4, 3, padding=(2, 1), padding_mode='circular')", (2, 2, 6, 5)),
    ("Conv2d(4, 8, 3, padding=1, groups=4)", (2, 4, 6, 5)),
    ("SeparableConv2d(4, 6, (3, 2), padding=1, depth_multiplier=2)", (2, 4, 6, 5)),
    ("ConvTranspose2d(4, 6, (3, 2), stride=(3, 2), padding=(1, 0), output_padding=(2, 1), groups=2)", (2, 4, 4, 3)),
    ("ConvTranspose2d(4, 6, (3, 2), stride=2, dilation=(2, 1))", (2, 4, 4, 3)),
    ("ConvTranspose2d(4, 6, (3, 2), stride=2, output_padding=1)", (2, 4, 4, 3)),
    ("DeformConv2d(8, 6, (3, 2), stride=(2, 1), padding=1, groups=2, offset_groups=2, modulated=True)", (2, 8, 7, 6)),
    ("DeformConv2d(4, 6, 3, padding=1)", (2, 4, 7, 6)),
    ("DeformConv2dPack(4, 6, 3, padding=1, modulated=True, offset_groups=2)", (2, 4, 6, 5)),
    ("DeformRoIPool((2, 3), 0.5, 2, num_rois=3, modulated=True)", (2, 3, 6, 7)),
    ("DeformRoIPool((3, 2), num_rois=4)", (2, 3, 6, 7)),
    ("ModulatedDeformRoIPoolPack((2, 3), sampling_ratio=2, num_rois=3, deform_fc_channels=5)", (2, 3, 6, 7)),
)


@contextmanager
def workbench_for(mutant: Mutant) -> Iterator[Workbench]:
    """Both sides here."""
    against = f"convcli.verifier.mutants:{mutant.name}"
    here = cast("Workers", Here())
    wanted = Wanted(against, mutant.dtypes, grad=mutant.gradient)
    with tempfile.TemporaryDirectory(prefix="convcli-") as root:
        yield Workbench(Bench(against, here, here), wanted, lambda calls: [call.reply for call in calls], root)


def faults_of(workbench: Workbench, step: Step) -> tuple[Fault, ...]:
    """What `verify` finds wrong with the other side on one layer."""
    ledger = Ledger([Subject(step, "")], workbench.wanted)
    for place, job in ledger.jobs():
        ledger.note(place, job_checks(job))
    return ledger.faults().get(0, ())


def steps_for(mutant: Mutant) -> Iterator[Step]:
    """Layers of its kinds, large ones first; at the end the smallest on which it shows."""
    for spelling, shape in TYPICAL:
        step = planned(spelling, shape)
        if step.layer.kind in mutant.kinds:
            yield step
    yield mutant.step


def explained(name: str) -> tuple[Fault, Explanation]:
    """A mutant's failure on the first layer on which it shows, and what is said of it."""
    mutant = MUTANTS[name]
    with workbench_for(mutant) as workbench:
        for step in steps_for(mutant):
            faults = faults_of(workbench, step)
            if faults:
                return faults[0], explanation(workbench, faults[0], seconds=30.0)
    raise AssertionError(f"{name} was not caught")
