"""The layers that are looked at: all combinations of the kernels, paddings and dilations, each with any stride.

What is not said is conventional: kernels of 1 to 7, 9 and 11 and those that the two sizes suggest, paddings up to half
the kernel's span, dilations 1 and 2.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from convcli.axis import AUTO_PADDING, Axis, whole
from convcli.errors import SpecError

Numbers = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]  # (size, wanted size) per axis
USUAL_KERNELS, USUAL_DILATIONS = (1, 2, 3, 4, 5, 6, 7, 9, 11), (1, 2)
WIDEST = 32  # a kernel that spans more is padded by nothing or by half, unless paddings are given
MOST = 100_000  # combinations


class Space(msgspec.Struct, frozen=True, kw_only=True):
    """What a layer may be; None is for whatever does it. paddings: numbers for both ends, or words."""

    kernels: Numbers | None = None
    strides: Numbers | None = None
    paddings: tuple[int | str, ...] | None = None
    dilations: Numbers | None = None
    output_paddings: Numbers | None = None
    transposed: bool = False
    exact: bool = False

    def checked(self) -> Space:
        """The same; SpecError when a number is no such number, or there are too many combinations."""
        for field, numbers, least in (
            ("kernel", self.kernels, 1),
            ("stride", self.strides, 1),
            ("dilation", self.dilations, 1),
            ("output_padding", self.output_paddings, 0),
        ):
            for number in numbers or ():
                whole(field, number, least=least)
        for padding in self.paddings or ():
            self._check_padding(padding)
        if self.output_paddings and not self.transposed:
            raise SpecError("convolutions have no output_padding", field="output_padding", repair="--transposed")
        given = (self.kernels or USUAL_KERNELS, self.dilations or USUAL_DILATIONS, self.paddings or range(WIDEST))
        total = len(given[0]) * len(given[1]) * len(given[2]) * len(self.strides or (1,))
        if total > MOST:
            raise SpecError(f"{total:,} combinations are too many", allowed=f"at most {MOST:,}")
        return self

    def _check_padding(self, padding: int | str) -> None:
        words = ("valid", *AUTO_PADDING) if self.transposed else ("same", "valid", *AUTO_PADDING)
        if isinstance(padding, str) and padding not in words:
            raise SpecError(
                f"padding={padding!r} is not known here", field="padding", allowed=f"numbers, {', '.join(words)}"
            )
        if not isinstance(padding, str):
            whole("padding", padding, least=0)

    def windows(self, pairs: Pairs) -> Iterator[tuple[Axis, Numbers | None]]:
        """Every kernel, dilation and padding as an axis without its stride, and the strides it may have."""
        seen = set()
        for kernel in self.kernels if self.kernels is not None else self._suggested(pairs):
            for dilation in self.dilations if self.dilations is not None else USUAL_DILATIONS[: 1 + (kernel > 1)]:
                for window, strides in self._padded(Axis(kernel, dilation=dilation)):
                    if (window, strides) not in seen:
                        seen.add((window, strides))
                        yield window, strides

    def _padded(self, bare: Axis) -> Iterator[tuple[Axis, Numbers | None]]:
        if self.paddings is None:
            for total in _totals(bare.span):
                yield _padded(bare, total), self.strides
        for padding in self.paddings or ():
            if padding in AUTO_PADDING:
                yield msgspec.structs.replace(bare, auto=str(padding)), self.strides
            elif padding == "same":  # PyTorch has it with stride 1 alone
                if 1 in (self.strides or (1,)):
                    yield _padded(bare, bare.span - 1), (1,)
            else:
                yield _padded(bare, 2 * padding if isinstance(padding, int) else 0), self.strides

    def _suggested(self, pairs: Pairs) -> Numbers:
        """The usual kernels, and those that the sizes suggest: patches, twice that, and stride 1 without padding."""
        found = set(USUAL_KERNELS)
        for small, large in map(sorted, pairs):
            found |= {large // small, -(-large // small), 2 * (large // small), large - small + 1}
        return tuple(sorted(found))

    def strides_for(self, window: Axis, allowed: Numbers | None, pairs: Pairs) -> Sequence[int]:
        """The strides that make every pair with this window. Of endlessly many that make one cell, the first."""
        found = range(1, 2**63)
        for size, out in pairs:
            one = window.transposed_strides(size, out) if self.transposed else window.strides(size, out)
            found = _both(found, one)
            if self.exact:
                large, small = (out, size) if self.transposed else (size, out)
                found = _both(found, range(0) if large % small else range(large // small, large // small + 1))
        if allowed is not None:
            strides: Sequence[int] = [stride for stride in allowed if stride in found]
        elif self.output_paddings is not None and found.stop < 2**63:
            strides = self._with_output_padding(window, found, pairs)
        else:
            strides = found[:1] if found.stop == 2**63 else found
        if self.exact or self.output_paddings is not None:
            return [s for s in strides if all(self._allows(self.settled(window, s, *pair)) for pair in pairs)]
        return strides

    def _with_output_padding(self, window: Axis, found: range, pairs: Pairs) -> list[int]:
        """Those of many strides that leave just one of the output_paddings asked for."""
        size, out = max(pairs)
        first = msgspec.structs.replace(window, stride=found.start if found else 1).output_padding_to(size, out)
        steps = [divmod(first - wanted, size - 1) for wanted in self.output_paddings or ()]
        return sorted({found.start + step for step, rest in steps if rest == 0 and found.start + step in found})

    def settled(self, window: Axis, stride: int, size: int, out: int) -> Axis:
        """The window with its stride, and the output_padding that makes `out` of `size`."""
        axis = msgspec.structs.replace(window, stride=stride)
        if not self.transposed or axis.auto:
            return axis
        return msgspec.structs.replace(axis, output_padding=axis.output_padding_to(size, out))

    def _allows(self, axis: Axis) -> bool:
        """Whether its output_padding was asked for, and, when that was asked, it does the same to every size."""
        if self.output_paddings is not None and axis.output_padding not in self.output_paddings:
            return False
        if not self.exact:
            return True
        return axis.transposed_shift == 0 if self.transposed else 0 <= axis.shift < axis.stride


def _both(one: range, other: range) -> range:
    return range(max(one.start, other.start), min(one.stop, other.stop))


def _padded(bare: Axis, total: int) -> Axis:
    return msgspec.structs.replace(bare, before=total // 2, after=total - total // 2)


def _totals(span: int) -> Sequence[int]:
    """How much padding in all: up to half the span at each end."""
    if span <= WIDEST:
        return range(2 * (span // 2) + 1)
    return sorted({0, 2 * ((span - 1) // 2), span - 1, 2 * (span // 2)})
