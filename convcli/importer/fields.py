"""Fields as a reader of the spec would write them."""

from __future__ import annotations

from typing import Any


def per_axis(said: Any, rank: int) -> Any:
    """One number where all axes have the same, else a list; words stay."""
    if isinstance(said, str | int):
        return said
    sizes = list(said) * (rank if len(said) == 1 else 1)
    return sizes[0] if len(set(sizes)) == 1 else sizes


def unless(**pairs: tuple[Any, Any]) -> dict[str, Any]:
    """The fields whose value is not the one that goes without saying."""
    return {name: value for name, (value, default) in pairs.items() if value != default}
