"""Backends for `bench` to lose its way with, importable in its process."""

from __future__ import annotations

import os
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


class Restless:
    """Of another version in every process."""

    @staticmethod
    def versions() -> dict[str, str]:
        """Which one this is."""
        return {"process": str(os.getpid())}

    @staticmethod
    def forward(*_: Any) -> Any:
        """Quick."""
        return None
