"""What a report of many layers holds: all up to a number, of more those that are bad; and how many there were."""

from __future__ import annotations

from collections import Counter

import msgspec

from convcli.verifier.verdict import Explanation, LayerVerdict, Status

MOST = 10_000  # verdicts in a report; of more layers it holds those that are bad, the journal all


class Kept:
    """The verdicts by their places among all, as they come."""

    def __init__(self) -> None:
        self.counts = Counter[Status]()
        self.verdicts: dict[int, LayerVerdict] = {}
        self._crowded = False

    def add(self, position: int, verdict: LayerVerdict) -> None:
        """One more."""
        self.counts[verdict.status] += 1
        if len(self.verdicts) == MOST and not self._crowded:
            self._crowded = True
            self.verdicts = {place: one for place, one in self.verdicts.items() if one.status.bad}
        if len(self.verdicts) < MOST and (verdict.status.bad or not self._crowded):
            self.verdicts[position] = verdict

    def explain(self, position: int, explanation: Explanation) -> None:
        """Add what was found out later to a verdict, if it is kept."""
        if position in self.verdicts:
            self.verdicts[position] = msgspec.structs.replace(self.verdicts[position], explanation=explanation)
