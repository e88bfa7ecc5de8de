"""How a window slides over an image, in ONNX' words."""

from __future__ import annotations

from typing import Any

from convcli.importer.fields import per_axis
from convcli.importer.onnx.table import Op


def padding(op: Op, rank: int) -> Any:
    """The padding as a spec says it: a number, one per axis, a pair per axis, same_upper, same_lower."""
    auto = op.attr("auto_pad", "NOTSET")
    if auto in {"SAME_UPPER", "SAME_LOWER"}:
        return str(auto).lower()
    said = [0] * (2 * rank) if auto == "VALID" else op.attr("pads", [0] * (2 * rank))
    pairs = list(zip(said[:rank], said[rank:], strict=True))
    if all(before == after for before, after in pairs):
        return per_axis(said[:rank], rank)
    return [list(pair) for pair in pairs]
