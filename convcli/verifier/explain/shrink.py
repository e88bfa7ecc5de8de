"""The smallest relative of a layer that still fails: every field toward 1 or 0, the largest strides tried first.

Pure functions over steps: what failing means is the caller's to say, and to find out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import perf_counter
from typing import TYPE_CHECKING, Any

import msgspec

from convcli.axis import Axis
from convcli.errors import SpecError
from convcli.layers import Conv, DeformRoIPool, DeformRoIPoolPack, Separable
from convcli.reach import Reach
from convcli.verifier.explain import region_shrink
from convcli.verifier.repro import respelled

if TYPE_CHECKING:
    from convcli.layers import Layer, Shape
    from convcli.plan import Step

Fields = dict[str, int]
SECONDS = 10.0
SIDES = ("kernel", "stride", "dilation", "before", "after", "output_padding")
PADS = frozenset({"before", "after", "output_padding"})
ZERO = PADS | {"bias", "pointwise_bias", "padding_mode", "modulated", "offset", "auto"}
SEARCHED = 64  # sizes that are looked at for the smallest legal one


class Shrunk(msgspec.Struct, frozen=True):
    """The smallest step found. tries: layers put to the test; complete: no smaller one fails, time did not end it."""

    step: Step
    tries: int
    complete: bool


def shrunk(step: Step, fails: Callable[[Step], bool], *, seconds: float = SECONDS) -> Shrunk:
    """Greedily smaller, as long as it `fails`; deterministic unless `seconds` end it. No layer is tried twice."""
    end, tried = perf_counter() + seconds, {_key(step)}

    def smaller_one(move: tuple[str, ...]) -> Step | None:
        for relative in _along(step, move):
            if _key(relative) in tried:
                continue
            if perf_counter() > end:
                raise TimeoutError
            tried.add(_key(relative))
            if fails(relative):
                return relative
        return None

    moves, at_rest, place = _moves(step), 0, 0
    try:
        while at_rest < len(moves):
            found = smaller_one(moves[place])
            if found:
                step, at_rest = found, 0
            else:
                place, at_rest = (place + 1) % len(moves), at_rest + 1
    except TimeoutError:
        return Shrunk(step, len(tried) - 1, complete=False)
    return Shrunk(step, len(tried) - 1, complete=True)


def smaller(step: Step) -> Iterator[Step]:
    """The legal relatives of a step that are smaller in some field or some fields, and larger in none."""
    for move in _moves(step):
        yield from _along(step, move)


def _key(step: Step) -> tuple[Any, ...]:
    return step.layer, step.batch, step.x


def _moves(step: Step) -> list[tuple[str, ...]]:
    """Which fields shrink together: all axes at once before each alone, what makes layers large first."""
    rank, names = len(step.layer.axes), fields(step)
    each = {side: tuple(f"{side}.{i}" for i in range(rank)) for side in ("size", *SIDES)}
    pads = each["before"] + each["after"]
    together = [
        pads + each["size"],
        each["size"],
        ("batch",),
        ("in", "out"),
        ("groups",),
        ("offset_groups", "groups"),
        each["kernel"],
    ]
    together += [pads, each["stride"], each["dilation"], each["output_padding"]]
    together += [each["kernel"] + each["size"]]
    alone = [(name,) for name in names]
    pairs = [(f"before.{i}", f"after.{i}") for i in range(rank)]
    pairs += [(f"stride.{i}", f"output_padding.{i}") for i in range(rank)]
    pairs += [("out", f"size.{i}") for i in range(rank)]
    moves = [tuple(name for name in move if name in names) for move in (*together, *alone, *pairs)]
    return list(dict.fromkeys(filter(None, moves)))


def fields(step: Step) -> Fields:
    """Every number of a layer and its input; channels are per group, a switch is 1 when on.

    auto: the padding is a word that a composite's parts settle; before and after are what it comes to.
    """
    if isinstance(step.layer, DeformRoIPool | DeformRoIPoolPack):
        return region_shrink.fields(step)
    layer, groups = step.layer, _groups(step.layer)
    found = {f"size.{i}": size for i, size in enumerate(step.x[1:])}
    found |= dict(zip(("batch",), step.batch, strict=False))
    found |= {"in": step.x[0] // groups, "out": step.y[0] // groups}
    for i, (axis, size) in enumerate(zip(layer.axes, step.x[1:], strict=True)):
        found |= {f"{side}.{i}": getattr(axis.settled(size), side) for side in SIDES}
    own = ("groups", "offset_groups", "depth_multiplier", "bias", "modulated")
    found |= {name: int(getattr(layer, name)) for name in own if hasattr(layer, name)}
    if isinstance(layer, Conv):
        found["padding_mode"] = int(layer.padding_mode != "zeros")
    if isinstance(layer, Separable):
        found["pointwise_bias"] = int(layer.bias if layer.pointwise_bias is None else layer.pointwise_bias)
    found["auto"] = int(any(axis.auto for axis in layer.axes))
    return found


def _along(step: Step, move: tuple[str, ...]) -> Iterator[Step]:
    """The legal relatives with the fields of a move at their least, half-way there, three quarters ..., one away."""
    now = fields(step)
    least = {name: _floor(now, name) for name in move}
    sizes = [name for name in move if name.startswith("size") or len(move) == 1]
    others = now | {name: value for name, value in least.items() if name not in sizes}
    least |= {name: _least(step, others, name) for name in sizes}
    last, part = dict(now), 1
    while True:
        new = dict(now)
        for name in move:
            way = now[name] - least[name]
            new[name] = least[name] + (abs(way) * (part - 1) // part) * (1 if way > 0 else -1)
        if new in (now, last):
            return
        relative = _built(step, new)
        if relative:
            yield relative
        last, part = new, 2 * part


def _floor(now: Fields, name: str) -> int:
    """0 or 1, or where the field is when it is below."""
    least = 0 if name.partition(".")[0] in ZERO else 1
    return least if now[name] > least or now[name] < 0 else now[name]


def _least(step: Step, now: Fields, name: str) -> int:
    """The smallest legal value of one field; a size must leave the kernel room."""
    floor = _floor(now, name)
    tried = range(floor, min(now[name], floor + SEARCHED))
    return next((value for value in tried if _built(step, {**now, name: value})), floor)


def _built(step: Step, new: Fields) -> Step | None:
    """The step with these fields; None when there is no such layer, or nothing that could be typed makes it."""
    try:
        layer, x = _layer(step, new)
        y = layer.output(x)
    except SpecError:
        return None
    rank = len(layer.axes)
    batch = tuple(new["batch"] for _ in step.batch)
    field = layer.reach(x, (Reach(),) * rank)
    made = msgspec.structs.replace(
        step, layer=layer, batch=batch, x=x, y=y, field=field, channels_last=False, expect=None, path=(), line=None
    )
    return made if _typed(made) else None


def _layer(step: Step, new: Fields) -> tuple[Layer, Shape]:
    """The settled layer and its input (C, *space). Raises SpecError."""
    if isinstance(step.layer, DeformRoIPool | DeformRoIPoolPack):
        return region_shrink.layer(step.layer, new)
    old, groups = step.layer, new.get("groups", 1)
    sides: list[dict[str, Any]] = [{side: new[f"{side}.{i}"] for side in SIDES} for i in range(len(old.axes))]
    axes = tuple(Axis(**numbers) for numbers in sides)
    if new["auto"]:
        words = (axis.auto for axis in old.axes)
        axes = tuple(
            msgspec.structs.replace(axis, before=0, after=0, auto=word) for axis, word in zip(axes, words, strict=True)
        )
    x = (new["in"] * groups, *(new[f"size.{i}"] for i in range(len(axes))))
    own: dict[str, Any] = {name: new[name] for name in ("groups", "offset_groups", "depth_multiplier") if name in new}
    own |= {name: bool(new[name]) for name in ("bias", "modulated") if name in new}
    if not new.get("padding_mode", 1):
        own["padding_mode"] = "zeros"
    if "pointwise_bias" in new:
        own["pointwise_bias"] = None if new["pointwise_bias"] == new["bias"] else bool(new["pointwise_bias"])
    layer = msgspec.structs.replace(old, axes=axes, in_channels=x[0], out_channels=new["out"] * groups, **own)
    return layer.settled(x), x


def _typed(step: Step) -> bool:
    """Whether the command line can say it: where a layer crops, not everything has a spelling."""
    if all(axis.before >= 0 <= axis.after for axis in step.layer.axes):
        return True
    return respelled(step)


def _groups(layer: Layer) -> int:
    return getattr(layer, "groups", 1) or 1
