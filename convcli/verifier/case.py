"""What a check's data depend on, and what they are: a settled layer with its input, and the numbers drawn for it."""

from __future__ import annotations

import hashlib
from typing import Any
from zlib import crc32

import msgspec
import numpy as np

from convcli.layers import Layer, Part, Shape


class Case(msgspec.Struct, frozen=True):
    """A settled layer with its input x (channels, *space), batch and seed: all that its data depend on."""

    layer: Layer
    x: Shape
    batch: Shape
    seed: int = 0

    @property
    def key(self) -> bytes:
        """The same for equal configurations, in every process and on every machine."""
        words = (self.layer.kind, self.layer, self.x, self.batch, self.seed)
        return hashlib.blake2b(msgspec.json.encode(words), digest_size=16).digest()

    def draw(self, name: str) -> np.random.Generator:
        """The stream of random numbers of one array."""
        return np.random.default_rng([int.from_bytes(self.key, "big"), crc32(name.encode())])

    def shape(self, name: str) -> Shape:
        """The shape of an input or of a tensor."""
        if name == "x":
            return (*self.batch, *self.x)
        side = self.layer.side_inputs(self.x)
        return (*self.batch, *side[name]) if name in side else self.layer.tensors(self.x)[name]

    def part(self, part: Part) -> Case:
        """The same for one part of the layer."""
        return Case(part.layer, part.x, part.of(self.batch), self.seed)


class Fill(msgspec.Struct, frozen=True):
    """Values array / scale by name. quanta: q of each part's outputs. note: what had to be given up."""

    arrays: dict[str, Any]
    scales: dict[str, int] = {}
    quanta: dict[str, float] = {}
    note: str = ""


class Unfillable(Exception):  # noqa: N818 - a reason, not an error
    """No exact data exist for this layer in this precision; the message says why."""
