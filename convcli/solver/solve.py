"""One door for all questions: two sizes, a layer, a message."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from convcli.axis import LARGEST, written
from convcli.errors import SpecError
from convcli.solver.records import Answer, Ways
from convcli.solver.space import Numbers, Space

MOST_WAYS = 1000
_CALL = re.compile(r"\s*(?:\w+\.)*\w+\(.*\)\s*;?\s*")  # Conv2d(3, 64, 7), on one line
_IDEA = "two sizes (224 112), a layer ('Conv2d(6, 8, 3, groups=4)') with -i, or the text of a shape error"

Size = int | Sequence[int]
Some = int | Iterable[int] | None


def solve(  # noqa: PLR0913 - every number of a layer may be asked for
    question: Size | str,
    output: Size | None = None,
    *,
    input: Sequence[int] | None = None,  # noqa: A002 - the layer's, as everywhere
    kernel: Some = None,
    stride: Some = None,
    padding: int | str | Iterable[int | str] | None = None,
    dilation: Some = None,
    output_padding: Some = None,
    transposed: bool | None = None,
    exact_for_any: bool = False,
    layers: int = 1,
    rank: int | None = None,
    limit: int | None = None,
) -> Answer:
    """The layers that turn a size into another; the legal layers near an illegal one; what a shape error says.

    solve(224, 112): sizes, one number or one per axis, or whole shapes (N, C, *space). kernel, stride, padding,
    dilation, output_padding: the numbers that are allowed, any without. transposed: by the sizes when left out.
    exact_for_any: only what divides (transposed: multiplies) every size alike. layers: a chain of so many.
    rank: the spatial axes of sizes that are one number, 2 when left out. limit: of the answers, 8 (chains: 3).
    solve("Conv2d(6, 8, 3, groups=4)", input=(1, 6, 32, 32)): what is illegal there, and legal neighbours.
    solve("RuntimeError: Given groups=1, ..."): the message explained; a whole traceback may stand around it.
    Raises SpecError when the question makes no sense, a message nobody recognises among them.
    """
    if isinstance(question, str):
        if output is not None:
            raise SpecError(f"{question!r} is no size", allowed=_IDEA)
        return _of_text(question, input, 8 if limit is None else limit)
    if output is None:
        raise SpecError("one size alone asks nothing", allowed=_IDEA)
    sizes, channels = _space_of("input", question, rank)
    wanted, out_channels = _space_of("output", output, rank)
    if len(sizes) != len(wanted):
        raise SpecError(f"{len(sizes)} axes cannot become {len(wanted)}", allowed="as many sizes on both sides")
    grows = any(out > size for size, out in zip(sizes, wanted, strict=True))
    space = Space(
        kernels=_numbers(kernel),
        strides=_numbers(stride),
        paddings=(padding,) if isinstance(padding, (int, str)) else None if padding is None else tuple(padding),
        dilations=_numbers(dilation),
        output_paddings=_numbers(output_padding),
        transposed=grows or output_padding is not None if transposed is None else transposed,
        exact=exact_for_any,
    ).checked()
    limit = (8 if layers == 1 else 3) if limit is None else limit
    _check_counts(layers, limit)
    return _ways(space, tuple(zip(sizes, wanted, strict=True)), layers, (channels, out_channels), limit)


def _of_text(text: str, shape: Sequence[int] | None, limit: int) -> Answer:
    """The answer to a layer or a message."""
    if _CALL.fullmatch(text):
        from convcli.solver.repairs import repairs

        return repairs(text.strip().rstrip(";"), None if shape is None else tuple(shape), limit)
    from convcli.solver.messages import reading

    return reading(text)


def _ways(space: Space, pairs: tuple[tuple[int, int], ...], layers: int, channels: tuple[int, int], limit: int) -> Ways:
    from convcli.solver.facts import facts

    if layers > 1:
        from convcli.solver.chains import chains

        chain = chains(space, pairs, layers, channels, limit)
        found, ways, near, whole = chain.count, chain.ways, chain.nearest, chain.whole
    else:
        from convcli.solver.sizes import nearest, ways_of

        found, ways = ways_of(space, pairs, channels, limit)
        near, whole = () if ways or space.exact else nearest(space, pairs, channels), True
    return Ways(
        input=tuple(size for size, _ in pairs),
        output=tuple(out for _, out in pairs),
        transposed=space.transposed,
        found=found,
        ways=tuple(ways),
        nearest=near,
        facts=facts(space, pairs, layers),
        whole=whole,
    )


def _space_of(field: str, size: Size, rank: int | None) -> tuple[tuple[int, ...], int]:
    """(the spatial sizes, the channels): one number stands for `rank` axes, four and more are N, C, *space."""
    if rank not in {None, 1, 2, 3}:
        raise SpecError(f"rank={rank} is not possible", field="rank", allowed="1, 2 or 3")
    numbers = (size,) * (rank or 2) if isinstance(size, int) else tuple(size)
    channels = 1
    if len(numbers) in {4, 5}:
        channels, numbers = numbers[1], numbers[2:]
    if rank is not None and len(numbers) != rank:
        numbers = numbers * rank if len(numbers) == 1 else numbers
    if not 1 <= len(numbers) <= 3 or (rank is not None and len(numbers) != rank):
        raise SpecError(
            f"{'x'.join(map(written, numbers))} has {len(numbers)} axes", field=field, allowed=f"{rank or '1 to 3'}"
        )
    for number in (*numbers, channels):
        if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= LARGEST // 4:
            raise SpecError(f"{number!r} is no size", field=field, allowed="whole numbers from 1 to 2**61")
    return numbers, channels


def _numbers(some: Some) -> Numbers | None:
    if some is None:
        return None
    return (some,) if isinstance(some, int) else tuple(dict.fromkeys(some))


def _check_counts(layers: int, limit: int) -> None:
    if not 1 <= layers <= 64:
        raise SpecError(f"layers={written(layers)} is not possible", field="layers", allowed="1 to 64")
    if not 1 <= limit <= MOST_WAYS:
        raise SpecError(f"limit={written(limit)} is not possible", field="limit", allowed=f"1 to {MOST_WAYS}")
