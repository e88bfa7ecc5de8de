"""Edits of windows: kernels that do not fit, padding a mode cannot make, output_padding, outputs of nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from convcli.axis import Axis, axes, per_axis
from convcli.errors import SpecError
from convcli.solver.records import Sizes
from convcli.solver.spelling import plain

if TYPE_CHECKING:
    from convcli.solver.edits import Draft


def window_edits(draft: Draft) -> Iterator[Draft]:
    """Kernels that do not fit, padding that the mode cannot make, output_padding, transposed outputs of nothing."""
    found, space = axes_of(draft), draft.input[len(draft.input) - draft.rank :]
    if found is not None:
        yield from _transposed(draft, found, space) if draft.transposed else _convolution(draft, found, space)


def _convolution(draft: Draft, axes: Sequence[Axis], space: Sizes) -> Iterator[Draft]:
    mode = draft.fields.get("padding_mode", "zeros")
    if any(not _padded(axis, mode, size) for axis, size in zip(axes, space, strict=True)):
        most = [{"reflect": size - 1, "circular": size}.get(mode, size) for size in space]
        pads = plain([min(axis.before, limit) for axis, limit in zip(axes, most, strict=True)])
        yield draft.having(1, f"the most that {mode} can pad", padding=pads)
        yield draft.having(2, "repeats the edge, any padding", padding_mode="replicate")
        yield draft.having(3, padding_mode="zeros")
        least = [axis.before + (mode == "reflect") for axis in axes]
        yield draft.on(4, _larger(draft, space, least))
    lacking = [axis.lacking(size) for axis, size in zip(axes, space, strict=True)]
    if not any(lacking) or any(axis.auto for axis in axes):
        return
    pads = plain([axis.before + -(-lack // 2) for axis, lack in zip(axes, lacking, strict=True)])
    if all(axis.before == axis.after for axis in axes):
        yield draft.having(1, padding=pads)
    kernels = [min(axis.kernel, axis.widest_kernel(size)) for axis, size in zip(axes, space, strict=True)]
    if min(kernels) >= 1:
        yield draft.having(2, "the largest that fits", kernel_size=plain(kernels))
    if any(axis.dilation > 1 for axis in axes):
        rates = [min(axis.dilation, axis.longest_dilation(size)) for axis, size in zip(axes, space, strict=True)]
        yield draft.having(2, "the longest that fits", dilation=plain([max(rate, 1) for rate in rates]))
    sizes = [size + lack for size, lack in zip(space, lacking, strict=True)]
    yield draft.on(3, _larger(draft, space, sizes), "the smallest input that it takes")


def _transposed(draft: Draft, axes: Sequence[Axis], space: Sizes) -> Iterator[Draft]:
    limits = [max(axis.stride, axis.dilation) for axis in axes]
    extras = [axis.output_padding for axis in axes]
    if any(extra >= limit for extra, limit in zip(extras, limits, strict=True)):
        fits = [min(extra, limit - 1) for extra, limit in zip(extras, limits, strict=True)]
        yield draft.having(1, "below max(stride, dilation)", output_padding=plain(fits) or None)
        for name, cost in (("stride", 2), ("dilation", 4)):
            numbers = [max(getattr(axis, name), axis.output_padding + 1) for axis in axes]
            yield draft.having(cost, **{name: plain(numbers)})
    made = [axis.output_padding - axis.output_padding_to(size, 0) for axis, size in zip(axes, space, strict=True)]
    if all(out >= 1 for out in made) or any(axis.auto for axis in axes):
        return
    crops = [axis.before - -(-max(1 - out, 0) // 2) for axis, out in zip(axes, made, strict=True)]
    if min(crops) >= 0 and all(axis.before == axis.after for axis in axes):
        yield draft.having(1, "the most that leaves a cell", padding=plain(crops))
    kernels = [axis.kernel + -(-max(1 - out, 0) // axis.dilation) for axis, out in zip(axes, made, strict=True)]
    yield draft.having(2, kernel_size=plain(kernels))
    sizes = [s + -(-max(1 - out, 0) // axis.stride) for s, axis, out in zip(space, axes, made, strict=True)]
    yield draft.on(3, _larger(draft, space, sizes), "the smallest input that leaves a cell")


def axes_of(draft: Draft, instead: dict[str, Any] | None = None) -> tuple[Axis, ...] | None:
    """The draft's axes; None when its numbers make none."""
    fields = {**draft.fields, **(instead or {})}
    try:
        kernel = per_axis("kernel_size", fields.get("kernel_size", 1), draft.rank, least=1)
        given = {name: fields[name] for name in ("stride", "padding", "dilation", "output_padding") if name in fields}
        return axes(kernel, **given)
    except (SpecError, TypeError):
        return None


def _padded(axis: Axis, mode: str, size: int) -> bool:
    try:
        axis.check_padding_mode(mode, size)
    except SpecError:
        return False
    return True


def _larger(draft: Draft, space: Sizes, least: Sequence[int]) -> Sizes:
    """The input with at least so many cells along each axis."""
    head = draft.input[: len(draft.input) - draft.rank]
    return (*head, *(max(size, one) for size, one in zip(space, least, strict=True)))
