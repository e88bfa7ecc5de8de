"""What is legal: each illegal neighbour of a layer is refused by us as the other side's real kernels refuse it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convcli.backends import OURS
from convcli.verifier.job import Bench, Job, primitives, seconds_of
from convcli.verifier.neighbours import answer, neighbours, said
from convcli.verifier.verdict import Check, Status

if TYPE_CHECKING:
    from convcli.layers import Shape
    from convcli.verifier.workers import Call, Reply

TOLD = 3  # so many disagreements are told, the others counted


class LegalityJob(Job):
    """Our layers, our kernels and the other side's kernels say of every neighbour: this shape, or no."""

    name, method = "legality", "equal"

    def start(self, bench: Bench, directory: str) -> list[Call]:
        """All neighbours of all parts to both."""
        del directory
        parts = {(layer, x): None for _, layer, x in primitives(self.step.layer, self.step.x)}
        self._asked = [found for layer, x in parts for found in neighbours(layer, x)]
        return [
            bench.ours.call("accepted", OURS, self._asked),
            bench.theirs.call("accepted", self.against, self._asked),
        ]

    def checks(self, replies: list[Reply]) -> tuple[Check, ...]:
        """Both refuse, or both make the same shape."""
        sides = ["convcli.kernels", self.against]
        broken = self.broken(replies, sides)
        if broken:
            return (broken,)
        wrong, refused = [], 0
        for asked, *answers in zip(self._asked, replies[0].value, replies[1].value, strict=True):
            found = {"convcli's layer": answer(lambda: said(asked)), **dict(zip(sides, answers, strict=True))}  # noqa: B023
            if asked.unseen:
                del found[{"layer": "convcli's layer", "kernel": sides[0]}[asked.unseen]]
            refused += all(isinstance(one, str) for one in found.values())
            if len({None if isinstance(one, str) else one for one in found.values()}) > 1:
                wrong.append(f"{asked.moved}: {', '.join(map(_words, found, found.values()))}")
        detail = f"{refused} illegal neighbours refused by both, {len(self._asked) - refused} legal ones taken"
        if wrong:
            more = [f"and {len(wrong) - TOLD} more"] if len(wrong) > TOLD else []
            detail = "; ".join([*wrong[:TOLD], *more])
        status = Status.ERROR_MISMATCH if wrong else Status.PASSED
        return (self.check(status, detail, seconds=seconds_of(replies)),)


def _words(side: str, found: Shape | str) -> str:
    return f"{side} refuses it ({found})" if isinstance(found, str) else f"{side} makes {found}"
