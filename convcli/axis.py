"""One spatial axis of a convolution: every formula that turns sizes into sizes, once.

Conventions: PyTorch's for shapes, `padding="same"` and output_padding; TensorFlow's and ONNX's for
same_upper and same_lower; benchdnn's for counting the products that fall inside the input.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import log10
from typing import Any

import msgspec

from convcli.errors import SpecError

LARGEST = 2**63 - 1  # PyTorch's sizes are 64-bit integers; products of them are Python's, which have no limit
Padding = int | str | Sequence[int | Sequence[int]]
AUTO_PADDING = ("same_upper", "same_lower")
PADDING_WORDS = ("same", "valid", *AUTO_PADDING)
PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class Axis(msgspec.Struct, frozen=True, cache_hash=True):
    """How a kernel slides along one axis; `before` and `after` are the cells added at its ends (negative ones crop).

    `auto` is "same_upper" or "same_lower" while the padding still waits for the input's size, else "".
    `output_padding` concerns transposed layers alone.
    """

    kernel: int
    stride: int = 1
    dilation: int = 1
    before: int = 0
    after: int = 0
    output_padding: int = 0
    auto: str = ""

    @property
    def span(self) -> int:
        """Input cells one kernel reaches across: 3 taps at dilation 2 reach across 5."""
        return self.dilation * (self.kernel - 1) + 1

    @property
    def is_same(self) -> bool:
        """Whether this is torch's padding="same": the output as long as the input, the odd cell on the right."""
        total = self.span - 1
        return not self.auto and self.stride == 1 and (self.before, self.after) == (total // 2, total - total // 2)

    def settled(self, size: int) -> Axis:
        """The automatic padding of a convolution as numbers: ceil(size / stride) outputs, the odd cell on one side."""
        if not self.auto:
            return self
        out = -(-size // self.stride)
        return self._split(max((out - 1) * self.stride + self.span - size, 0))

    def transposed_settled(self, size: int) -> Axis:
        """The automatic padding of a transposed layer as numbers (ONNX): size * stride outputs; may be negative."""
        if not self.auto:
            return self
        return self._split(self.stride * (size - 1) + self.output_padding + self.span - size * self.stride)

    def _split(self, total: int) -> Axis:
        small, large = total // 2, total - total // 2
        before, after = (small, large) if self.auto == "same_upper" else (large, small)
        return msgspec.structs.replace(self, before=before, after=after, auto="")

    def out(self, size: int) -> int:
        """floor((size + before + after - span) / stride) + 1"""
        room = size + self.before + self.after
        if room < self.span:
            raise SpecError(
                f"the kernel spans {self.span} cells, the padded input has only {room}",
                field="kernel_size",
                allowed=f"a span dilation*(kernel_size-1)+1 of at most {room}",
                repair=f"padding that adds {self.lacking(size)} more",
                formula="span = dilation * (kernel - 1) + 1 "
                f"= {self.dilation} * ({self.kernel} - 1) + 1 = {self.span}, "
                f"out = floor((size + before + after - span) / stride) + 1 = "
                f"floor(({size} + {self.before} + {self.after} - {self.span}) / {self.stride}) + 1, "
                f"where {room} - {self.span} is below 0",
            )
        return (room - self.span) // self.stride + 1

    def pooled(self, size: int, *, ceil: bool = False) -> int:
        """`out`; with ceil rounded up, as long as the last window begins before the padding after the input (torch)."""
        if not ceil:
            return self.out(size)
        room = size + self.before + self.after
        rounded = -(-(room - self.span) // self.stride) + 1
        rounded -= (rounded - 1) * self.stride >= size + self.before
        return rounded if rounded >= 1 else self.out(size)

    def lacking(self, size: int) -> int:
        """Cells that the padded input needs for one output and does not have: span - size - before - after."""
        return max(0, self.span - size - self.before - self.after)

    def widest_kernel(self, size: int) -> int:
        """The most taps that fit: floor((size + before + after - 1) / dilation) + 1"""
        return (size + self.before + self.after - 1) // self.dilation + 1

    def longest_dilation(self, size: int) -> int:
        """The longest distance between taps that fits: floor((size + before + after - 1) / (kernel - 1))"""
        return (size + self.before + self.after - 1) // max(self.kernel - 1, 1)

    def transposed_out(self, size: int) -> int:
        """(size - 1) * stride - before - after + span + output_padding"""
        out = (size - 1) * self.stride - self.before - self.after + self.span + self.output_padding
        if out < 1:
            raise SpecError(
                f"the transposed output would have {out} cells",
                field="padding",
                allowed="an output of at least 1",
                repair=f"padding that takes {1 - out} less",
                formula="out = (size - 1) * stride - before - after + span + output_padding "
                f"= ({size} - 1) * {self.stride} - {self.before} - {self.after} + {self.span} + {self.output_padding} "
                f"= {out}",
            )
        return out

    def inserted(self, size: int) -> int:
        """(size - 1) * stride + 1: an input's cells with stride - 1 zeros between neighbours."""
        return (size - 1) * self.stride + 1

    @property
    def on_inserted(self) -> Axis:
        """The convolution over the inserted zeros, with the kernel rotated, that a transposed layer is.

        Stride 1, padded by span - 1 - before and span - 1 - after + output_padding; negative padding crops.
        """
        reach = self.span - 1
        return Axis(self.kernel, 1, self.dilation, reach - self.before, reach - self.after + self.output_padding)

    def strides(self, size: int, out: int) -> range:
        """All strides that make `out` cells of `size`: (out-1)*stride <= size + before + after - span < out*stride

        An empty range begins at the stride that first makes fewer. With automatic padding: ceil(size / stride) = out.
        """
        room = size - 1 if self.auto else size + self.before + self.after - self.span
        if room < 0:
            return range(0)
        return range(room // out + 1, (room // (out - 1) if out > 1 else LARGEST) + 1)

    def transposed_strides(self, size: int, out: int) -> range:
        """All strides that make `out` cells of `size` with an output_padding below max(stride, dilation)."""
        if self.auto:
            return range(0) if out % size else range(out // size, out // size + 1)
        rest = out + self.before + self.after - self.span  # is (size-1)*stride + output_padding
        if rest < 0:
            return range(0)
        by_dilation = (rest - self.dilation) // (size - 1) if size > 1 else 0 if rest < self.dilation else rest
        least = max(min(rest // size, by_dilation), 0) + 1
        return range(least, (rest // (size - 1) if size > 1 else LARGEST) + 1)

    def output_padding_to(self, size: int, out: int) -> int:
        """The output_padding with which `out` cells are made of `size`: out - transposed_out without any."""
        return out - (size - 1) * self.stride + self.before + self.after - self.span

    @property
    def shift(self) -> int:
        """c in out(size) = floor((size + c) / stride): before + after - span + stride"""
        return self.stride - 1 if self.auto else self.before + self.after - self.span + self.stride

    @property
    def transposed_shift(self) -> int:
        """c in transposed_out(size) = stride*size + c: span + output_padding - before - after - stride"""
        return 0 if self.auto else self.span + self.output_padding - self.before - self.after - self.stride

    def check_output_padding(self) -> None:
        """Refuse output_padding that reaches max(stride, dilation), as torch does."""
        limit = max(self.stride, self.dilation)
        if self.output_padding >= limit:
            raise SpecError(
                f"output_padding={self.output_padding} is too large for stride={self.stride}, dilation={self.dilation}",
                field="output_padding",
                allowed=f"less than max(stride, dilation) = {limit}",
                repair=f"output_padding={limit - 1}",
                formula=f"output_padding < max(stride, dilation) = max({self.stride}, {self.dilation}) = {limit}",
            )

    def check_padding_mode(self, mode: str, size: int) -> None:
        """Refuse what `mode` cannot pad: reflect repeats no edge, circular goes round once, none of them crops."""
        if mode == "zeros":
            return
        limit = {"reflect": size - 1, "circular": size}.get(mode)
        if min(self.before, self.after) < 0 or (limit is not None and max(self.before, self.after) > limit):
            raise SpecError(
                f"padding_mode={mode} cannot pad {size} cells by {self.before} and {self.after}",
                field="padding",
                allowed=f"0 to {limit}" if limit is not None else "at least 0",
            )

    @lru_cache(4096)  # noqa: B019 - axes are values; the layers of a big spec have few different ones
    def pairs(self, cells: int, positions: int) -> int:
        """The number of (p, t) with 0 <= p*stride - before + t*dilation < cells, p < positions, t < kernel.

        These are the products of a convolution whose input cell exists (benchdnn's count). A transposed layer is
        the adjoint: there `cells` are its outputs and `positions` its inputs, and the count is the products it keeps.
        """
        return self._pairs_below(cells + self.before, positions) - self._pairs_below(self.before, positions)

    def _pairs_below(self, bound: int, positions: int) -> int:
        """The number of (p, t) with p*stride + t*dilation < bound: lattice points under a line, in O(log) steps."""
        if bound <= 0 or positions <= 0:
            return 0
        some = min(self.kernel, -(-bound // self.dilation))  # taps t < some have at least one position
        full = min(some, max(0, -(-(bound - (positions - 1) * self.stride) // self.dilation)))  # t < full have them all
        # tap t has ceil((bound - t*dilation) / stride) positions; count the others backwards from the last one
        smallest = bound - (some - 1) * self.dilation
        return full * positions + _floor_sum(some - full, self.stride, self.dilation, smallest + self.stride - 1)


def _floor_sum(n: int, m: int, a: int, b: int) -> int:
    """sum over i < n of floor((a*i + b) / m), by Euclid's algorithm; n, a, b >= 0, m >= 1."""
    total = 0
    while n > 0:
        total += (n - 1) * n // 2 * (a // m) + n * (b // m)
        a, b = a % m, b % m
        top = a * n + b
        if top < m:
            break
        n, b, m, a = top // m, top % m, a, m
    return total


def axes(
    kernel: Sequence[int],
    *,
    stride: int | Sequence[int] = 1,
    padding: Padding = 0,
    dilation: int | Sequence[int] = 1,
    output_padding: int | Sequence[int] = 0,
    negative_padding: bool = False,
) -> tuple[Axis, ...]:
    """PyTorch's arguments as one Axis per spatial dimension.

    kernel: one size per axis. stride, dilation, output_padding: one number, or one per axis. padding: a number, one
    per axis, a (before, after) pair per axis, or "same", "valid", "same_upper", "same_lower". negative_padding: the
    numbers of a pair may be negative, and crop; a number alone never is, as in torch.
    Raises SpecError, naming the argument, for a wrong count, value or type.
    """
    kernels = per_axis("kernel_size", kernel, len(kernel), least=1)
    rank = len(kernels)
    strides = per_axis("stride", stride, rank, least=1)
    dilations = per_axis("dilation", dilation, rank, least=1)
    extras = per_axis("output_padding", output_padding, rank, least=0)
    auto, pads = _paddings(padding, kernels, strides, dilations, None if negative_padding else 0)
    return tuple(
        Axis(k, s, d, before, after, extra, auto)
        for k, s, d, (before, after), extra in zip(kernels, strides, dilations, pads, extras, strict=True)
    )


def per_axis(field: str, value: int | Sequence[int], rank: int, *, least: int | None = None) -> tuple[int, ...]:
    """`value` as one integer per axis, each at least `least`; SpecError names `field` otherwise."""
    values = (value,) * rank if isinstance(value, int) else tuple(value)
    for number in values:
        whole(field, number, least=least)
    if len(values) != rank:
        raise SpecError(
            f"{field} has {len(values)} numbers for {rank} spatial {'axis' if rank == 1 else 'axes'}",
            field=field,
            allowed=f"one number, or {rank}",
        )
    return values


def whole(field: str, value: Any, *, least: int | None = None) -> int:
    """`value` itself when it is an integer from `least` to 2**63 - 1; SpecError names `field` otherwise."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise SpecError(f"{field}={value!r} is not a whole number", field=field, allowed="a whole number")
    if least is not None and value < least:
        raise SpecError(f"{field}={written(value)} is too small", field=field, allowed=f"at least {least}")
    if not -LARGEST <= value <= LARGEST:
        raise SpecError(f"{field} is too large: {written(value)}", field=field, allowed="at most 2**63 - 1")
    return value


def written(number: int) -> str:
    """The number, or how long it is: Python refuses to write one of more than 4300 digits."""
    if -LARGEST <= number <= LARGEST:
        return str(number)
    digits = len(str(abs(number))) if number.bit_length() < 10_000 else int(number.bit_length() * log10(2)) + 1
    return f"a number of {digits} digits"


def _paddings(
    padding: Padding, kernels: tuple[int, ...], strides: tuple[int, ...], dilations: tuple[int, ...], least: int | None
) -> tuple[str, list[tuple[int, int]]]:
    """(the automatic rule or "", one (before, after) pair per axis). least: of a pair's numbers; others: 0."""
    rank = len(kernels)
    if isinstance(padding, str):
        return _padding_word(padding.lower(), kernels, strides, dilations)
    if isinstance(padding, int):
        return "", [(p, p) for p in per_axis("padding", padding, rank, least=0)]
    if any(isinstance(entry, Sequence) for entry in padding):
        return "", _padding_pairs(padding, rank, least)
    try:
        return "", [(p, p) for p in per_axis("padding", padding, rank, least=0)]  # type: ignore[arg-type]
    except SpecError as error:
        if rank == 1 and len(padding) == 2:
            raise SpecError(
                str(error.problems[0].message),
                field="padding",
                allowed="one number, or one pair",
                repair=f"[{list(padding)}]",
            ) from None
        raise


def _padding_pairs(padding: Sequence[int | Sequence[int]], rank: int, least: int | None) -> list[tuple[int, int]]:
    if len(padding) != rank:
        raise SpecError(
            f"padding has {len(padding)} entries for {rank} spatial axes",
            field="padding",
            allowed=f"{rank} [before, after] pairs",
        )
    pairs: list[tuple[int, int]] = []
    for entry in padding:
        if isinstance(entry, Sequence) and len(entry) != 2:
            raise SpecError(
                f"padding has the entry {entry!r}",
                field="padding",
                allowed="a number, or a [before, after] pair, per axis",
            )
        before, after = (entry, entry) if isinstance(entry, int) else entry
        pairs.append((whole("padding", before, least=least), whole("padding", after, least=least)))
    return pairs


def _padding_word(
    word: str, kernels: tuple[int, ...], strides: tuple[int, ...], dilations: tuple[int, ...]
) -> tuple[str, list[tuple[int, int]]]:
    rank = len(kernels)
    if word in AUTO_PADDING:
        return word, [(0, 0)] * rank
    if word == "valid":
        return "", [(0, 0)] * rank
    if word != "same":
        from difflib import get_close_matches  # a slow import that only errors need

        near = get_close_matches(word, PADDING_WORDS, n=1)
        raise SpecError(
            f"padding={word!r} is not known",
            field="padding",
            allowed=f"numbers, or {', '.join(PADDING_WORDS)}",
            repair=near[0] if near else "",
        )
    if any(s != 1 for s in strides):
        raise SpecError(
            f"padding='same' needs stride 1, as in PyTorch; stride is {list(strides)}",
            field="padding",
            allowed="stride 1 with 'same'",
            repair="same_upper, which is TensorFlow's SAME",
        )
    totals = [d * (k - 1) for k, d in zip(kernels, dilations, strict=True)]
    return "", [(total // 2, total - total // 2) for total in totals]
