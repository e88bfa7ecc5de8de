"""The legal layers nearest to an illegal one: each edit mends one thing, and the planner says what is legal."""

from __future__ import annotations

from typing import Any

import msgspec

from convcli.axis import per_axis
from convcli.errors import Problem, SpecError
from convcli.solver.edits import Draft, edits
from convcli.solver.records import Repair, Repairs, Sizes
from convcli.solver.spelling import spelling
from convcli.spec.build import entry
from convcli.spec.forms import form
from convcli.spec.spelling import spelled

DEEPEST = 4  # edits of one layer
MOST = 300  # drafts of one depth that are edited further
CELLS = 32  # of an input that nobody gave


def repairs(text: str, shape: Sizes | None, limit: int) -> Repairs:
    """What is illegal in a layer, and its nearest legal variants. Raises SpecError when it is no layer."""
    fields = spelled(text).fields
    fields = {**form(fields["type"]).preset, **fields, "type": _proper(fields["type"], shape)}
    start = Draft(fields, shape if shape is not None else _assumed(fields))
    output, problems = judged(start)
    told = tuple(_told(problem) for problem in problems)
    if output is not None:
        return Repairs(layer=text, input=start.input, output=output)
    found = nearest(start, limit)
    return Repairs(layer=text, input=start.input, problems=told, repairs=tuple(found))


def judged(draft: Draft) -> tuple[Sizes | None, tuple[Problem, ...]]:
    """(the output, ()) of a legal draft, (None, what is wrong) of others."""
    try:
        return entry(draft.fields, 1).made(max(1, len(draft.input) - 2)).output_shape(draft.input), ()
    except SpecError as error:
        return None, error.problems


def nearest(start: Draft, limit: int) -> list[Repair]:
    """Legal drafts with the fewest and smallest edits: all of the first depth that has any."""
    drafts, seen = [start], {_mark(start)}
    for _ in range(DEEPEST):
        legal, illegal = [], []
        for draft in drafts:
            for edited in edits(draft, judged(draft)[1]):
                if _mark(edited) in seen:
                    continue
                seen.add(_mark(edited))
                output, _ = judged(edited)
                if output is None:
                    illegal.append(edited)
                else:
                    legal.append((edited, output))
        if legal:
            best = sorted(legal, key=lambda found: found[0].cost)[:limit]
            return [_repair(start, draft, output) for draft, output in best]
        drafts = sorted(illegal, key=lambda draft: draft.cost)[:MOST]
    return []


def _repair(start: Draft, draft: Draft, output: Sizes) -> Repair:
    return Repair(
        change=", ".join(draft.changes(start)),
        layer=spelling(draft.fields),
        input=draft.input,
        output=output,
        note="; ".join(filter(None, dict.fromkeys(draft.notes))),
    )


def _mark(draft: Draft) -> str:
    """Two drafts of one spelling are one."""
    return f"{spelling(dict(sorted(draft.fields.items())))} {draft.input}"


def _told(problem: Problem) -> str:
    return str(msgspec.structs.replace(problem, repair="", excerpt=""))


def _proper(type_: str, shape: Sizes | None) -> str:
    """The type's own name with a rank: that of the input, or 2, where the word names none."""
    return form(type_).type.replace("*", str(max(1, min(3, len(shape) - 2)) if shape else 2))


def _assumed(fields: dict[str, Any]) -> Sizes:
    """An input that a layer which says its channels could take: 32 cells along each axis, or as many as it spans."""
    channels = fields.get("in_channels")
    if not isinstance(channels, int) or isinstance(channels, bool) or channels < 1:
        raise SpecError("the layer does not say what it takes", field="input", allowed="-i 1,3,224,224")
    rank = form(fields["type"]).rank or 2
    try:
        kernels = per_axis("kernel_size", fields.get("kernel_size", 1), rank, least=1)
        dilations = per_axis("dilation", fields.get("dilation", 1), rank, least=1)
    except (SpecError, TypeError):  # told when the layer is made
        return (1, channels, *(CELLS,) * rank)
    spans = (d * (k - 1) + 1 for k, d in zip(kernels, dilations, strict=True))
    return (1, channels, *(max(CELLS, span) for span in spans))
