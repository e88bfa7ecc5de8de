"""What holds of two sizes whatever the layer: their ratio, their difference, and the families that keep them so."""

from __future__ import annotations

from collections.abc import Iterator

from convcli.solver.space import Pairs, Space


def facts(space: Space, pairs: Pairs, layers: int) -> tuple[str, ...]:
    """A line per fact, each axis's once."""
    found = _transposed if space.transposed else _convolution
    lines = [line for pair in dict.fromkeys(pairs) for line in found(*pair)] if layers == 1 else []
    if space.exact and not all(_divides(space, *pair) for pair in pairs):
        large, small = ("output", "input") if space.transposed else ("input", "output")
        lines.append(f"for every size alike needs an {large} that is a multiple of the {small}")
    return tuple(lines)


def _divides(space: Space, size: int, out: int) -> bool:
    large, small = (out, size) if space.transposed else (size, out)
    return large % small == 0


def _convolution(size: int, out: int) -> Iterator[str]:
    if size == out:
        yield f"{out} = {size}: stride 1 and an odd kernel k padded by (k-1)/2, or padding='same', keep every size"
        return
    stride = -(-size // out)
    if size % out == 0:
        yield f"{out} = {size}/{stride}: kernel = stride = {stride} reads every cell once, without padding"
    if out < size and -(-size // stride) == out:
        halving = f"an odd kernel k, padding (k-1)/2, stride {stride}"
        yield f"{out} = ceil({size}/{stride}): {halving} make ceil(in/{stride}) of every size"
    if out < size:
        yield f"{out} = {size} - {size - out}: stride 1 and a span of {size - out + 1}, without padding"


def _transposed(size: int, out: int) -> Iterator[str]:
    if out % size == 0 and out > size:
        times = out // size
        extra = " with output_padding 1" if times % 2 else ""
        yield (
            f"{out} = {times}*{size}: kernel = stride = {times}, or kernel {2 * times}, stride {times}"
            f" and padding {-(-times // 2)}{extra}"
        )
        yield f"Upsample(scale_factor={times}), then a convolution that keeps the size: {out}, without checkerboards"
    elif out > size:
        yield f"{out} = {size} + {out - size}: stride 1 and a span of {out - size + 1}, without padding"
