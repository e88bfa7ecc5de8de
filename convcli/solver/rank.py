"""What is conventional, as a number and in words: 0 for a 3x3 kernel that pads by one; what is unusual adds to it."""

from __future__ import annotations

from collections.abc import Iterator

from convcli.axis import Axis

Remark = tuple[int, str]
KERNELS = {3: 0, 1: 2, 5: 2, 7: 3, 2: 4, 4: 4, 9: 6, 11: 8}


def score(axis: Axis, size: int) -> int:
    """The sum of what is unusual about a convolution on `size` cells."""
    return sum(cost for cost, _ in remarks(axis, size))


def transposed_score(axis: Axis) -> int:
    """The sum of what is unusual about a transposed layer."""
    return sum(cost for cost, _ in transposed_remarks(axis))


def remarks(axis: Axis, size: int) -> Iterator[Remark]:
    """(cost, words) of a convolution; words that cost nothing speak for it."""
    patches = axis.kernel == axis.stride > 1 and axis.dilation == 1 and not axis.before + axis.after and not axis.auto
    yield (2, "patches that do not overlap") if patches else (_kernel(axis.kernel), _centre(axis.kernel))
    yield from _dilation(axis)
    yield from _padding(axis)
    if axis.span < axis.stride:
        yield 4, "skips input cells"
    if not axis.auto and (size + axis.before + axis.after - axis.span) % axis.stride > axis.after:
        yield 2, "leaves cells at the end unread"


def transposed_remarks(axis: Axis) -> Iterator[Remark]:
    """(cost, words) of a transposed layer."""
    if axis.stride == 1 or axis.dilation > 1:
        yield _kernel(axis.kernel), _centre(axis.kernel)
    elif axis.span < axis.stride:
        yield 10, "leaves cells that nothing reaches"
    elif axis.kernel % axis.stride:
        yield 4 + axis.kernel // axis.stride, "overlaps unevenly: checkerboards"
    else:
        times = axis.kernel // axis.stride
        yield (0, "copies side by side") if times == 1 else (2 * times - 3, "overlaps evenly")
    yield from _dilation(axis)
    if axis.output_padding:
        yield 1, "output_padding adds cells that fewer taps reach"
    total = axis.before + axis.after
    if axis.before != axis.after:
        yield 5, "padding on one side"
    elif total and axis.transposed_shift and total != 2 * ((axis.span - 1) // 2):
        yield 2, "unusual padding"


def rule(axis: Axis, *, transposed: bool) -> str:
    """The output as a function of the input, for any size that fits: ceil(in/2), in - 2, 2*in + 1."""
    if transposed:
        return _plus("in" if axis.stride == 1 else f"{axis.stride}*in", axis.transposed_shift)
    if axis.stride == 1:
        return _plus("in", axis.shift)
    if axis.shift == axis.stride - 1:
        return f"ceil(in/{axis.stride})"
    top = _plus("in", axis.shift)
    return f"floor(({top})/{axis.stride})" if axis.shift else f"floor(in/{axis.stride})"


def _plus(text: str, number: int) -> str:
    return f"{text} {'+' if number > 0 else '-'} {abs(number)}" if number else text


def _kernel(kernel: int) -> int:
    return KERNELS.get(kernel, 8 + 2 * kernel.bit_length() + 2 * (kernel % 2 == 0))


def _centre(kernel: int) -> str:
    return "odd kernel" if kernel % 2 else "even kernel: no centre"


def _dilation(axis: Axis) -> Iterator[Remark]:
    if axis.dilation > 1:
        yield 6 * min(axis.dilation - 1, 100), f"dilated: spans {axis.span}"


def _padding(axis: Axis) -> Iterator[Remark]:
    total, half = axis.before + axis.after, (axis.span - 1) // 2
    if axis.auto:
        yield 0, "TensorFlow's SAME" if axis.auto == "same_upper" else "ONNX's SAME_LOWER"
    elif axis.before != axis.after:
        yield (4, "pads one side by one more") if axis.is_same else (5, "padding on one side")
    elif not total:
        yield 0, "no padding"
    else:
        yield (0, "pads by half the kernel") if axis.before == half else (3, "unusual padding")
