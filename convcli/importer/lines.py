"""YAML 1.2 of plain data on one line, quoted only where a reader would take the word for something else."""

from __future__ import annotations

import json
import re
from typing import Any

PLAIN = re.compile(r"[A-Za-z_][\w./+-]*(?: [\w./+-]+)*\Z", re.ASCII)
OTHER = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf"})


def flow(value: Any) -> str:
    """A mapping, a list or a scalar: {name: conv1, padding: [[0, 1], [0, 1]]}."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{scalar(key)}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    return scalar(value)


def scalar(value: object) -> str:
    """A number, a truth, nothing, or a text."""
    if isinstance(value, str) and PLAIN.match(value) and value.lower() not in OTHER:
        return value
    return json.dumps(value, ensure_ascii=False)
