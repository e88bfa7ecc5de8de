"""The answers of `solve`, as data: ways from size to size, repairs of a layer, a shape error read."""

from __future__ import annotations

from typing import Any

import msgspec

from convcli._version import __version__

Sizes = tuple[int, ...]


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """One layer of a way, one number per axis. padding: (before, after) per axis, before the sizes are known."""

    layer: str
    input: Sizes
    output: Sizes
    kernel_size: Sizes
    stride: Sizes
    padding: tuple[Sizes, ...]
    dilation: Sizes
    output_padding: Sizes


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """Layers that lead from one size to the other. rule: the output as a function of the input, of a single layer.

    score: 0 for the most conventional; each thing that is unusual adds to it. why: what speaks for and against it.
    """

    layers: tuple[Move, ...]
    rule: str
    why: tuple[str, ...]
    score: int


class Near(msgspec.Struct, frozen=True):
    """A size that can be reached where the wanted one cannot, and the layers that reach it."""

    output: Sizes
    layers: tuple[str, ...]


class Ways(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to `solve 224 112`. found: how many ways there are, of which `ways` are the first.

    transposed: whether the layers are. facts: what holds of the two sizes whatever the layer. whole: false when a
    chain's search was cut short, and there may be others.
    """

    schema: int = 1
    convcli: str = __version__
    command: str = "solve"
    question: str = "sizes"
    input: Sizes
    output: Sizes
    transposed: bool
    found: int
    ways: tuple[Way, ...]
    nearest: tuple[Near, ...] = ()
    facts: tuple[str, ...] = ()
    whole: bool = True

    @property
    def exit_code(self) -> int:
        """0; 1 when no layer does it."""
        return 0 if self.ways else 1


class Repair(msgspec.Struct, frozen=True, kw_only=True):
    """A legal layer near an illegal one: what is changed, the layer with the input it takes, its output."""

    change: str
    layer: str
    input: Sizes
    output: Sizes
    note: str = ""


class Repairs(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to `solve LAYER`. problems: what is illegal; none, and `output`, when the layer is legal as it is."""

    schema: int = 1
    convcli: str = __version__
    command: str = "solve"
    question: str = "layer"
    layer: str
    input: Sizes
    problems: tuple[str, ...] = ()
    output: Sizes | None = None
    repairs: tuple[Repair, ...] = ()

    @property
    def exit_code(self) -> int:
        """0; 1 when the layer is illegal and no neighbour of it was found that is not."""
        return 0 if self.repairs or self.output is not None else 1


class Fix(msgspec.Struct, frozen=True):
    """Something to try against an error. code: the line that does it, when one does. when: what makes it likely."""

    change: str
    code: str = ""
    when: str = ""


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to `solve MESSAGE`. message: the line that was recognised. means: one plain sentence.

    read: the numbers taken from the message, by name. fixes: the likely repairs, the likeliest first.
    """

    schema: int = 1
    convcli: str = __version__
    command: str = "solve"
    question: str = "message"
    message: str
    about: str
    means: str
    read: dict[str, Any]
    fixes: tuple[Fix, ...]

    @property
    def exit_code(self) -> int:
        """0: a message that nobody recognises is a mistake in the command line."""
        return 0


Answer = Ways | Repairs | Reading
