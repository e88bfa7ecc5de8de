"""Failures taken apart: after all layers were checked, the first few in detail, each for some seconds."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from time import perf_counter
from typing import TYPE_CHECKING

import msgspec

from convcli.verifier.exchange import Lost
from convcli.verifier.explain.data import sifted, words
from convcli.verifier.explain.experiment import Tried, other_name
from convcli.verifier.explain.script import script
from convcli.verifier.explain.shrink import SECONDS, shrunk
from convcli.verifier.explain.suspects import Suspects
from convcli.verifier.explain.votes import said_by_jury, sentence
from convcli.verifier.fault import VALUES, Fault, kind_of
from convcli.verifier.gradient import check_name
from convcli.verifier.jobs import LOOPS_MACS, all_jobs
from convcli.verifier.kernel_job import KernelJob
from convcli.verifier.mutants import MUTANTS
from convcli.verifier.repro import command, spelled
from convcli.verifier.verdict import Explanation, Smallest

if TYPE_CHECKING:
    from convcli.plan import Step
    from convcli.verifier.explain.experiment import Experiment, Workbench
    from convcli.verifier.job import Job
    from convcli.verifier.ledger import Ledger, Progress

MOST = 3  # layers that are shrunk in one run
TERMS_MACS = 100_000_000  # of a layer whose sums are looked into
PROBES = 4


def explain(
    workbench: Workbench,
    ledger: Ledger,
    *,
    most: int = MOST,
    seconds: float = SECONDS,
    progress: Progress | None = None,
) -> None:
    """Give the ledger's failed verdicts their explanations: `most` of them in detail, `seconds` each."""
    faults = ledger.faults()
    for number, (index, (fault, *_)) in enumerate(faults.items()):
        if progress:
            progress(number, len(faults), f"explaining {fault.step.name}")
        try:
            found = explanation(workbench, fault, seconds=seconds, detailed=number < most)
        except Lost as error:  # what is tested deletes the data
            found = Explanation(fault.check.label, note=f"not taken apart: {error}")
        ledger.explain(index, found)


def explanation(workbench: Workbench, fault: Fault, *, seconds: float = SECONDS, detailed: bool = True) -> Explanation:
    """All that can be said of one failure; without detail, what its own data say."""
    suspects = Suspects(workbench)
    label = fault.check.label
    with trying(workbench, fault.step, fault) as tried:
        wrong = suspects.see(tried.experiments)
        said = _said(workbench, wrong)
        fault = _where_it_shows(fault, wrong)
    found = Explanation(label, *said)
    if detailed:
        found = _shrunk(workbench, fault, suspects, found, seconds)
    else:
        found = msgspec.structs.replace(found, note=f"not shrunk: of a run's failures the first {MOST} are")
    return msgspec.structs.replace(found, looks_like=suspects.words)


def _said(workbench: Workbench, wrong: Experiment | None) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    """(contributions, looks_like, votes) of an experiment, as far as it is small enough."""
    if wrong is None:
        return (), (), ""
    terms = workbench.evidence("terms", wrong) if wrong.products <= TERMS_MACS else ()
    return terms or (), (), _votes(workbench, wrong) if wrong.products <= LOOPS_MACS else ""


def _votes(workbench: Workbench, wrong: Experiment) -> str:
    other = other_name(workbench.wanted)
    said = dict(workbench.evidence("methods", wrong) or {})
    return sentence(said | said_by_jury(workbench, wrong, workbench.again(wrong, wrong.arrays), other), other)


def _shrunk(workbench: Workbench, fault: Fault, suspects: Suspects, found: Explanation, seconds: float) -> Explanation:
    """The explanation with the smallest layer and the smallest data."""
    end = perf_counter() + seconds

    def fails(step: Step) -> bool:
        with trying(workbench, step, fault) as tried:
            suspects.see(tried.experiments)
            return any(map(fault.is_like, tried.checks))

    least = shrunk(fault.step, fails, seconds=seconds)
    _confront(workbench, fault, suspects)
    with trying(workbench, least.step, fault) as tried:
        wrong = suspects.see(tried.experiments)
        smallest = _smallest(workbench, least.step, fault, tried, wrong, max(1.0, end - perf_counter()))
        if not found.contributions or not found.votes:
            contributions, _, votes = _said(workbench, wrong)
            found = msgspec.structs.replace(
                found, contributions=found.contributions or contributions, votes=found.votes or votes
            )
    note = "" if least.complete else f"shrunk for {seconds:g} seconds, {least.tries} layers: smaller ones may fail too"
    return msgspec.structs.replace(found, smallest=smallest, note=note)


def _smallest(
    workbench: Workbench, step: Step, fault: Fault, tried: Tried, wrong: Experiment | None, seconds: float
) -> Smallest:
    wanted, dtype = workbench.wanted, fault.check.dtype
    shown = wrong or next(iter(tried.experiments), None)
    arrays, told = {}, ""
    if wrong:
        arrays = sifted(wrong.arrays, lambda data: bool(workbench.again(wrong, data).wrong), seconds=seconds)
        both = workbench.again(wrong, arrays)
        name = both.wrong
        if name and both.expected and both.found is not None:
            shown_name = check_name(name) if wrong.backward else name
            told = words(arrays, shown_name, both.expected[name], both.found.get(name))
    elif shown:
        arrays = shown.arrays
    layer, *_ = spelled(step)
    return Smallest(
        layer,
        (*step.batch, *step.x),
        command(step, "", seed=wanted.seed, dtype=dtype, also=wanted.flags, own=wanted.own),
        script(step_of(step, shown), arrays, wanted, dtype) if shown else "",
        told,
    )


def step_of(step: Step, shown: Experiment) -> Step:
    """The step of the layer that was run: a part of it, perhaps."""
    batch, x = shown.layer.split(shown.shape)
    return msgspec.structs.replace(step, layer=shown.layer, batch=batch, x=x, y=shown.layer.output(x))


def _confront(workbench: Workbench, fault: Fault, suspects: Suspects) -> None:
    """Where several are left: the layers on which each of them shows."""
    for name in suspects.names[:PROBES] if len(suspects.names) > 1 else ():
        mutant = MUTANTS[name]
        with trying(workbench, mutant.step, fault) as tried:
            suspects.probe(tried.experiments)


def _where_it_shows(fault: Fault, wrong: Experiment | None) -> Fault:
    """A kernel that is wrong on inputs of other sizes alone: the layer on such an input."""
    if wrong is None or not fault.elsewhere:
        return fault
    check = msgspec.structs.replace(fault.check, name="grad_input" if wrong.backward else "forward", method="exact")
    return msgspec.structs.replace(fault, step=step_of(fault.step, wrong), check=check)


def trying(workbench: Workbench, step: Step, fault: Fault) -> AbstractContextManager[Tried]:
    """The job of the same kind for another layer, tried; nothing where that layer has no such job."""
    job = job_of(workbench, step, fault)
    return nullcontext(Tried(())) if job is None else workbench.trying(job)


def job_of(workbench: Workbench, step: Step, fault: Fault) -> Job | None:
    """The job of the same kind for another layer, which may have none."""
    wanted = workbench.wanted
    job = next((job for job in all_jobs(step, wanted) if kind_of(job) == fault.kind), None)
    if isinstance(job, KernelJob) and fault.family in VALUES:
        job.others = False
    return job
