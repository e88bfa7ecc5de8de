"""A batch of no images: libraries fail there, though nothing is to be compared but shapes and gradients of 0."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from convcli.backends import OURS
from convcli.verifier.case import Fill
from convcli.verifier.exchange import load, store
from convcli.verifier.gradient import check_name
from convcli.verifier.job import Bench, Job, seconds_of
from convcli.verifier.verdict import Check, Status

if TYPE_CHECKING:
    from convcli.plan import Step
    from convcli.verifier.workers import Call, Reply


class EmptyJob(Job):
    """The output has no elements: both sides run the layer all the same, and its gradients when they are asked for."""

    method = "equal"

    def __init__(self, step: Step, seed: int, against: str, dtype: str, *, grad: bool):
        super().__init__(step, seed, against, dtype)
        self._grad = grad

    def start(self, bench: Bench, directory: str) -> list[Call]:
        """Both sides, forward and backward."""
        layer, batch = self.step.layer, self.step.batch
        names = ("x", *layer.side_inputs(self.step.x), *layer.tensors(self.step.x))
        arrays = {name: np.full(self.case.shape(name), name != "rois", np.int8) for name in names}
        sample = store(directory, "empty", Fill(arrays))
        sides = ((OURS, bench.ours), (self.against, bench.theirs))
        calls = [side.call("result", name, layer, sample, self.dtype, directory, "y") for name, side in sides]
        if self._grad:
            dy = np.ones((*batch, *self.step.y), np.int8)
            sample = store(directory, "empty", Fill({**arrays, "dy": dy}))
            calls += [side.call("gradients", name, layer, sample, self.dtype, directory, "dy") for name, side in sides]
        return calls

    def checks(self, replies: list[Reply]) -> tuple[Check, ...]:
        """The shape; then gradients of 0."""
        forward = self.broken(replies[:2], ["convcli", self.against])
        if forward is None:
            y, z = (load(reply.value) for reply in replies[:2])
            forward = self.misshapen(("convcli", y), (self.against, z))
        found = [forward or self.check(Status.PASSED, "no elements, as it must be", seconds=seconds_of(replies[:2]))]
        return (*found, *(self._gradients(replies[2:]) if self._grad else ()))

    def _gradients(self, replies: list[Reply]) -> tuple[Check, ...]:
        broken = self.broken(replies, ["convcli", self.against])
        if broken:
            return (_named(broken, "x"),)
        ours, theirs = (reply.value for reply in replies)
        return tuple(_named(self._zero(name, ours[name], theirs.get(name)), name) for name in ours)

    def _zero(self, name: str, ours: Any, theirs: Any) -> Check:
        for side, stored in (("convcli", ours), (self.against, theirs)):
            if stored is None:
                return self.check(Status.FAILED, f"{side} gave no such gradient")
            gradient, shape = load(stored), self.case.shape(name)
            if gradient.shape != shape:
                return self.check(Status.SHAPE_MISMATCH, f"{side} gave {gradient.shape}, expected {shape}")
            if gradient.any():
                return self.check(Status.FAILED, f"{side} gave something else than 0 for no images")
        return self.check(Status.PASSED, "0, as no images make it")


def _named(check: Check, name: str) -> Check:
    return msgspec.structs.replace(check, name=check_name(name))
