"""Which known mistakes explain everything that was seen: on every layer and data set they give the other side's bits.

Layers on which the other side is right count as well: a mistake that shows there is not the one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from convcli.verifier.explain.evidence import candidates
from convcli.verifier.mutants import MUTANTS
from convcli.verifier.verdict import Status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from convcli.verifier.explain.experiment import Experiment, Workbench

EFFORT = 200_000_000  # products that all of them together may multiply for one experiment
NAMED = 3
SILENT = frozenset(
    {Status.UNSUPPORTED, Status.TIMED_OUT, Status.OUT_OF_MEMORY, Status.CRASHED}
)  # says nothing about results


class Suspects:
    """Narrowed down by every experiment they `see`."""

    def __init__(self, workbench: Workbench) -> None:
        self._workbench = workbench
        self._names: tuple[str, ...] | None = None
        self._guilty = 0

    @property
    def names(self) -> tuple[str, ...]:
        """Those that are left; none before anything wrong was seen."""
        return self._names or () if self._guilty else ()

    def see(self, experiments: Iterable[Experiment]) -> Experiment | None:
        """Take the exact ones as evidence. The first on which the other side is wrong, if there is one."""
        first = None
        for experiment in experiments:
            if experiment.exact and experiment.status not in SILENT and self._seen(experiment):
                first = first or experiment
        return first

    def _seen(self, experiment: Experiment) -> bool:
        if self._names is None:
            _, x = experiment.layer.split(experiment.shape)
            self._names = candidates(experiment.layer, x, backward=experiment.backward)
        names = self._names if experiment.products * len(self._names) <= EFFORT else ()
        answer = self._workbench.evidence("alike", experiment, names)
        if answer is None:
            return False
        wrong, left = answer
        self._guilty += bool(wrong or experiment.status)
        if names:
            self._names = left
        return bool(wrong)

    def probe(self, experiments: Iterable[Experiment]) -> None:
        """Layers beside the matter: evidence as long as it leaves anyone."""
        before, guilty = self._names, self._guilty
        self.see(experiments)
        if not self._names:
            self._names, self._guilty = before, guilty

    @property
    def words(self) -> tuple[str, ...]:
        """What they look like, the most particular first: those made for the fewest kinds of layers."""
        ordered = sorted(self.names, key=lambda name: len(MUTANTS[name].kinds))
        return tuple(MUTANTS[name].says for name in ordered[:NAMED])
