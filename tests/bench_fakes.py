"""Backends for `bench` to lose its way with, importable in its process."""

from __future__ import annotations

from typing import Any


class Refusing:
    """Raises what no one expects."""

    @staticmethod
    def versions() -> dict[str, str]:
        """Nothing of note."""
        return {}

    @staticmethod
    def forward(*_: Any) -> Any:
        """No y."""
        raise KeyError("no such plan")
