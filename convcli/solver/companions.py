"""Edits of the layers between convolutions: features, channels, groups, heads; of pools, their padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import TYPE_CHECKING

from convcli.errors import Problem
from convcli.solver.spelling import plain

if TYPE_CHECKING:
    from convcli.solver.edits import Draft

LAST = ("in_features", "embed_dim", "normalized_shape")  # what the input's last axes are
SECOND = ("num_features", "num_channels")  # what axis 1 is
DIVISORS = {"num_groups": "num_channels", "num_heads": "embed_dim"}


def companion_edits(draft: Draft, problems: tuple[Problem, ...]) -> Iterator[Draft]:
    """Proposals for everything that is wrong with a layer that is no convolution."""
    for name in dict.fromkeys(str(problem.path[0]) for problem in problems if problem.path):
        if name in LAST:
            yield from _last(draft, name)
        elif name in SECOND:
            yield from _second(draft, name)
        elif name in DIVISORS:
            yield from _divisors(draft, name, DIVISORS[name])
        elif name == "padding":
            yield from _pool_padding(draft)
        elif name == "shape" and len(draft.input) > 1:
            yield draft.having(1, "all but the batch in one axis", shape=(draft.input[0], -1))
        elif name == "upscale_factor" and isinstance(draft.fields.get(name), int) and len(draft.input) > 2:
            square = draft.fields[name] ** 2
            for count in {-(-draft.input[-3] // square) * square, draft.input[-3] // square * square} - {0}:
                shape = (*draft.input[:-3], count, *draft.input[-2:])
                yield draft.on(2, shape, "the layer before must make as many channels")


def _last(draft: Draft, name: str) -> Iterator[Draft]:
    """The field as the input has it, or the input as the field wants it."""
    shape, wanted = draft.input, draft.fields.get(name)
    if not shape:
        return
    sizes: Sequence[int] = wanted if isinstance(wanted, (list, tuple)) else [wanted] if isinstance(wanted, int) else []
    yield draft.having(1, "", **{name: plain(shape[-1:]) if len(sizes) < 2 else shape[-len(sizes) :]})
    if len(sizes) != 1:
        return
    if len(shape) > 2 and prod(shape[1:]) == sizes[0]:
        yield draft.on(0, (shape[0], sizes[0]), "x.flatten(1)")
    if len(shape) > 2 and shape[1] == sizes[0]:
        yield draft.on(
            int(name == "in_features"), (shape[0], *shape[2:], shape[1]), "x.movedim(1, -1): channels to the end"
        )
        if name == "in_features":
            yield draft.on(0, shape[:2], f"x.mean({tuple(range(2, len(shape)))}): pooled to one number per channel")
    yield draft.on(2, (*shape[:-1], sizes[0]), "the layer before must make as many")


def _second(draft: Draft, name: str) -> Iterator[Draft]:
    """The channels as the input has them, the input's channels from the end, or the layer before."""
    shape, wanted = draft.input, draft.fields.get(name)
    if len(shape) < 2 or not isinstance(wanted, int):
        return
    yield draft.having(1, "", **{name: shape[1]})
    if len(shape) > 2 and shape[-1] == wanted:
        yield draft.on(0, (shape[0], shape[-1], *shape[1:-1]), "x.movedim(-1, 1): the channels were last")
    yield draft.on(2, (shape[0], wanted, *shape[2:]), "the layer before must make as many")


def _divisors(draft: Draft, name: str, of: str) -> Iterator[Draft]:
    """The nearest divisors of the number that must be a multiple."""
    number, wanted = draft.fields.get(of), draft.fields.get(name)
    if not isinstance(number, int) or not isinstance(wanted, int) or number < 1:
        return
    divisors = [count for count in range(1, min(number, 10_000) + 1) if number % count == 0]
    for cost, count in enumerate(sorted(divisors, key=lambda count: (abs(count - wanted), count))[:3]):
        yield draft.having(1 + cost, "", **{name: count})


def _pool_padding(draft: Draft) -> Iterator[Draft]:
    """Half the window at the most, or a window of twice the padding."""
    kernel, padding = (_each(draft, name) for name in ("kernel_size", "padding"))
    if kernel and padding:
        half = [min(p, k // 2) for k, p in zip(kernel, padding, strict=True)]
        twice = [max(k, 2 * p) for k, p in zip(kernel, padding, strict=True)]
        yield draft.having(1, "half the window", padding=plain(half))
        yield draft.having(2, "twice the padding", kernel_size=plain(twice))


def _each(draft: Draft, name: str) -> list[int]:
    """A field's numbers, one per axis; none when they are not that."""
    value = draft.fields.get(name, 0)
    numbers = list(value) if isinstance(value, (list, tuple)) else [value] * draft.rank
    return numbers if len(numbers) == draft.rank and all(type(number) is int for number in numbers) else []
