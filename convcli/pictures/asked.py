"""What is asked of a picture of a layer."""

from __future__ import annotations

import msgspec

from convcli.errors import SpecError
from convcli.layers import Shape

MOST_FRAMES = 1024  # of a film: all steps of a map of 32 x 32


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """cell: the output cell, the first one (of samples the middle one) when left out. animate: all, at most `most`.

    offsets: of a deformable layer: zero, random (from `seed`), or a file.npz with `offset` and, modulated, `mask`.
    """

    cell: tuple[int, ...] | None = None
    animate: bool = False
    most: int = MOST_FRAMES
    offsets: str = "random"
    seed: int = 0

    def cell_of(self, outs: Shape, *, middle: bool = False) -> Shape:
        """The cell, on an output of these sizes; SpecError where there is none such."""
        if self.cell is None:
            return tuple([size // 2 if middle else 0 for size in outs])
        if len(self.cell) != len(outs):
            axes = "axis" if len(outs) == 1 else "axes"
            raise SpecError(f"{list(self.cell)} does not fit {len(outs)} {axes}", field="--cell")
        for index, size in zip(self.cell, outs, strict=True):
            if not 0 <= index < size:
                raise SpecError(f"{index} is no cell of the output", field="--cell", allowed=f"0 to {size - 1}")
        return self.cell
