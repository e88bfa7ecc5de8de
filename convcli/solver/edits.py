"""One edit each: for everything that is wrong with a layer on its input, the changes of one number that mend it.

They are proposals; whether the whole is legal is the planner's word.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import gcd
from typing import Any

import msgspec

from convcli.axis import whole
from convcli.errors import Problem, SpecError
from convcli.solver.companions import companion_edits
from convcli.solver.records import Sizes
from convcli.solver.spelling import plain
from convcli.solver.windows import axes_of, window_edits
from convcli.spec.forms import form

Fields = dict[str, Any]
LEAST = {
    "kernel_size": 1,
    "stride": 1,
    "dilation": 1,
    "groups": 1,
    "out_channels": 1,
    "padding": 0,
    "output_padding": 0,
}
COUNTS = ("groups", "out_channels", "in_channels", "offset_groups", "depth_multiplier")


class Draft(msgspec.Struct, frozen=True):
    """A layer's fields and its input on their way to be legal. cost: how far they went from what was asked."""

    fields: Fields
    input: Sizes
    notes: tuple[str, ...] = ()
    cost: int = 0

    @property
    def rank(self) -> int:
        """The spatial axes that the type has; 0 for one that works on any tensor."""
        rank = form(self.fields["type"]).rank
        return 2 if rank is None else rank

    @property
    def slides(self) -> bool:
        """Whether it has a window that moves over spatial axes."""
        return "kernel_size" in form(self.fields["type"]).order[:3] and self.rank > 0

    @property
    def transposed(self) -> bool:
        """Whether it is a transposed layer."""
        return "Transpose" in self.fields["type"]

    def having(self, cost: int, note: str = "", /, **changed: Any) -> Draft:
        """The draft with other values of fields; None drops one."""
        fields = {name: value for name, value in {**self.fields, **changed}.items() if value is not None}
        return Draft(fields, self.input, (*self.notes, note), self.cost + cost)

    def on(self, cost: int, shape: Sequence[int], note: str = "", /, **changed: Any) -> Draft:
        """The draft on another input, perhaps with other values of fields as well."""
        return Draft({**self.fields, **changed}, tuple(shape), (*self.notes, note), self.cost + cost)

    def changes(self, start: Draft) -> Iterator[str]:
        """What is different from where it started, in words."""
        for name, value in self.fields.items():
            if name not in start.fields or value != start.fields[name]:
                yield f"{name}={value}" if name == "type" else f"{name}={_text(value)}"
        yield from (f"no {name}" for name in start.fields if name not in self.fields)
        if self.input != start.input:
            yield f"an input of {'x'.join(map(str, self.input))}"


def edits(draft: Draft, problems: tuple[Problem, ...]) -> Iterator[Draft]:
    """Every edit that concerns something wrong with the draft; of what is wrong first, if the rest depends on it."""
    found = [*_words(draft, problems), *_numbers(draft)]
    if found:
        yield from found
        return
    if form(draft.fields["type"]).order[:1] != ("in_channels",):
        yield from companion_edits(draft, problems)
    if not draft.slides or not all(_is_whole(draft.fields.get(name) or 1) for name in COUNTS):
        return
    if len(draft.input) not in {draft.rank + 1, draft.rank + 2}:
        yield from _axes_count(draft)
    else:
        yield from (*_channels(draft), *_groups(draft), *window_edits(draft))


def _words(draft: Draft, problems: tuple[Problem, ...]) -> Iterator[Draft]:
    """Names that are not known, or missing, or not for this type."""
    fields = draft.fields
    for problem in problems:
        name = str(problem.path[0]) if problem.path else ""
        if name == "output_padding" and not draft.transposed and name in fields:
            type_ = fields["type"].replace("Conv", "ConvTranspose")
            yield draft.having(1, "only transposed layers have it", output_padding=None)
            yield draft.having(2, type=type_)
        elif name in fields and problem.at_key:
            others = {key: value for key, value in fields.items() if key != name}
            renamed = {**others, problem.repair: fields[name]} if problem.repair else others
            yield msgspec.structs.replace(draft, fields=renamed, cost=draft.cost + 1)
        elif name in {"out_channels", "kernel_size"} and name not in fields:
            yield draft.having(2, **{name: 3 if name == "kernel_size" else fields.get("in_channels", 1)})
        elif name == "padding_mode":
            yield draft.having(1, padding_mode="zeros")
            if problem.repair:
                yield draft.having(1, padding_mode=problem.repair)
    padding = fields.get("padding")
    if isinstance(padding, str) and problems and problems[0].field == "padding":
        yield from _padding_word(draft, padding.lower(), problems[0])


def _padding_word(draft: Draft, word: str, problem: Problem) -> Iterator[Draft]:
    """same with a stride, same in a transposed layer, a word that does not exist."""
    axes = axes_of(draft, {"padding": 0})
    if word != "same" or axes is None:
        if problem.repair and word != "same":
            yield draft.having(1, padding=problem.repair)
        yield draft.having(2, padding=0)
        return
    if not draft.transposed:
        half = plain([(axis.span - 1) // 2 for axis in axes])
        yield draft.having(1, "makes ceil(in/stride) where the span is odd", padding=half)
        yield draft.having(2, "keeps every size", stride=1)
        yield draft.having(3, "TensorFlow's SAME: convcli's and ONNX's word, not PyTorch's", padding="same_upper")
        return
    for extra in range(2):
        totals = [axis.span + extra - axis.stride for axis in axes]
        if all(total >= 0 and total % 2 == 0 for total in totals):
            said = {"padding": plain([total // 2 for total in totals]), "output_padding": extra or None}
            yield draft.having(1 + extra, "multiplies every size by the stride", **said)


def _numbers(draft: Draft) -> Iterator[Draft]:
    """Numbers that are too small for any layer, or one per axis for another rank."""
    for name, value in draft.fields.items():
        numbers = value if isinstance(value, (list, tuple)) else [value]
        if name not in {*LEAST, *COUNTS} or not all(_is_whole(number) for number in numbers):
            continue
        least = LEAST.get(name, 1)
        if any(number < least for number in numbers):
            fixed = [max(least, number) for number in numbers]
            yield draft.having(1, **{name: fixed[0] if len(fixed) == 1 else fixed})
            if name in {"padding", "stride"}:
                yield draft.having(2, **{name: plain([max(least, abs(number)) for number in numbers])})
        elif name not in COUNTS and isinstance(value, (list, tuple)) and len(value) != draft.rank:
            if len(set(value)) == 1:
                yield draft.having(1, **{name: value[0]})
            elif 1 <= len(value) <= 3 and name == "kernel_size":
                yield draft.having(2, type=_ranked(draft, len(value)))
            yield draft.having(3, **{name: (*value, *value[-1:] * draft.rank)[: draft.rank]})


def _axes_count(draft: Draft) -> Iterator[Draft]:
    """An input with too few or too many axes."""
    shape, rank = draft.input, draft.rank
    if len(shape) == rank:
        channels = draft.fields.get("in_channels", 1)
        note = "x[None, None]: the batch and the channel" if channels == 1 else "x[None]: the channels come first"
        yield draft.on(1, (1, 1, *shape) if channels == 1 else (channels, *shape), note)
    ones = [place for place, size in enumerate(shape) if size == 1]
    if len(shape) > rank + 2 and ones:
        rest = [size for place, size in enumerate(shape) if place != ones[0]]
        yield draft.on(1, rest, f"x.squeeze({ones[0]})")
    if len(shape) == rank + 3:
        yield draft.on(2, (shape[0] * shape[1], *shape[2:]), "x.flatten(0, 1): the first two axes as one batch")
    if 1 <= len(shape) - 2 <= 3:
        yield draft.having(2, type=_ranked(draft, len(shape) - 2))


def _channels(draft: Draft) -> Iterator[Draft]:
    """in_channels that contradict the input: the layer's, the input's, or the input's axes in another order."""
    place = len(draft.input) - draft.rank - 1
    wanted, found = draft.fields.get("in_channels"), draft.input[place]
    if wanted is None or wanted == found:
        return
    yield draft.having(1, in_channels=found)
    if draft.input[-1] == wanted:
        order = (*range(place), len(draft.input) - 1, *range(place, len(draft.input) - 1))
        moved = tuple(draft.input[axis] for axis in order)
        yield draft.on(0, moved, f"x.permute({', '.join(map(str, order))}): the channels were last")
    note = {(1, 3): "a grey image as three equal channels: x.expand", (4, 3): "without alpha: x[:, :3]"}
    changed = (*draft.input[:place], wanted, *draft.input[place + 1 :])
    yield draft.on(2, changed, note.get((found, wanted), ""))


def _groups(draft: Draft) -> Iterator[Draft]:
    """Channels that do not divide into groups, or into offset groups."""
    place = len(draft.input) - draft.rank - 1
    ins, outs = draft.input[place], draft.fields.get("out_channels") or draft.input[place]
    groups, offset_groups = draft.fields.get("groups", 1), draft.fields.get("offset_groups", 1)
    agrees = draft.fields.get("in_channels", ins) == ins
    if agrees and (ins % groups or outs % groups):
        yield from (draft.having(1 + far, groups=count) for far, count in _divisors(gcd(ins, outs), groups))
        if outs % groups:
            yield from (draft.having(2, out_channels=count) for count in _multiples(outs, groups))
        if ins % groups:
            yield from _other_inputs(draft, place, _multiples(ins, groups))
    if agrees and ins % offset_groups:
        yield from (draft.having(1 + far, offset_groups=count) for far, count in _divisors(ins, offset_groups))
        yield from _other_inputs(draft, place, _multiples(ins, offset_groups))


def _other_inputs(draft: Draft, place: int, counts: Sequence[int]) -> Iterator[Draft]:
    for count in counts:
        shape = (*draft.input[:place], count, *draft.input[place + 1 :])
        said = {"in_channels": count} if "in_channels" in draft.fields else {}
        yield draft.on(3, shape, "the layer before must make as many", **said)


def _divisors(number: int, near: int) -> Iterator[tuple[int, int]]:
    """(0, the largest divisor below `near`), (1, the smallest above), (2, 1), each once; of small numbers alone."""
    found = [count for count in range(1, min(number, 10_000) + 1) if number % count == 0] or [1]
    below, above = [d for d in found if d < near], [d for d in found if d > near]
    picked = [*enumerate([*below[-1:], *above[:1]]), (2, 1)]
    yield from {count: (far, count) for far, count in reversed(picked)}.values()


def _multiples(number: int, of: int) -> list[int]:
    """The nearest multiples of `of`, not 0."""
    below = number // of * of
    return [count for count in (below + of, below) if count]


def _ranked(draft: Draft, rank: int) -> str:
    """The same type for another number of axes."""
    type_: str = draft.fields["type"]
    return type_.replace(f"{draft.rank}d", f"{rank}d")


def _is_whole(value: Any) -> bool:
    try:
        whole("", value)
    except SpecError:
        return False
    return True


def _text(value: Any) -> str:
    return repr(tuple(value) if isinstance(value, list) else value)
