"""What the words around a picture say of a layer."""

from __future__ import annotations

from collections.abc import Sequence

from convcli.axis import Axis
from convcli.errors import SpecError
from convcli.layers import Shape
from convcli.plan import Step


def title(step: Step) -> str:
    """conv1 (Conv2d)"""
    return f"{step.name} ({step.type})" if step.name else step.type


def captions(step: Step) -> list[str]:
    """What goes in and comes out, and how the kernel slides."""
    lines = [f"{_shape(step.shown(step.x))} -> {_shape(step.shown(step.y))}"]
    if step.layer.axes:
        lines.append(slides(step.layer.axes))
    return lines


def slides(axes: Sequence[Axis]) -> str:
    """kernel 3x3, stride 2, padding 1, dilation 1: one number where all axes have the same."""
    words = [
        f"kernel {_shape(tuple(axis.kernel for axis in axes))}",
        f"stride {_same([str(axis.stride) for axis in axes])}",
        f"padding {_same([_ends(axis) for axis in axes])}",
        f"dilation {_same([str(axis.dilation) for axis in axes])}",
    ]
    if any(axis.output_padding for axis in axes):
        words.append(f"output_padding {_same([str(axis.output_padding) for axis in axes])}")
    return ", ".join(words)


def place(cell: Sequence[int]) -> str:
    """[0, 2]"""
    return f"[{', '.join(map(str, cell))}]"


def _ends(axis: Axis) -> str:
    return str(axis.before) if axis.before == axis.after else f"{axis.before} before and {axis.after} after"


def _same(words: list[str]) -> str:
    return words[0] if len(set(words)) == 1 else ", ".join(words) if " " in "".join(words) else "x".join(words)


def _shape(shape: Shape) -> str:
    return "x".join(map(str, shape))


def check_axes(step: Step) -> None:
    """Refuse a layer without spatial axes, or with more than can be drawn."""
    if not (step.layer.spatial and 1 <= step.layer.rank <= 3):
        raise SpecError(
            f"{step.name} ({step.type}) has no spatial axes to draw", field="--layer", allowed="a layer with 1 to 3"
        )
