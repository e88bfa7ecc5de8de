"""What other calculators would say: a set of rules for each, stated as differences from our own numbers."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from convcli.errors import SpecError

if TYPE_CHECKING:
    from convcli.conventions.tool import Tool

HOMES = {
    "torchinfo": "torchinfo",
    "fvcore": "fvcore",
    "thop": "thop",
    "ptflops": "ptflops",
    "torch": "torch_counter",
    "torchvision": "torchvision",
}


def named(name: str, flag: str = "--like") -> Tool:
    """The rules of the tool of that name. SpecError, about `flag`, names the nearest for one that is not known."""
    home = HOMES.get(name.strip().lower())
    if home is None:
        near = nearest(name)
        raise SpecError(
            f"{name!r} is no calculator whose convention is known",
            field=flag,
            allowed=", ".join(HOMES),
            repair=near or "",
        )
    found: Tool = import_module(f"convcli.conventions.{home}").TOOL
    return found


def nearest(name: str) -> str | None:
    """The known tool that `name` is likely to mean."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(name.strip().lower(), HOMES, 1, 0.6)), None)
