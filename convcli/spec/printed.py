"""A pasted `print(model)`: the layers it names, in the order printed, with torch's dotted names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

import msgspec

from convcli.errors import SpecError

LINE = re.compile(r"^\s*(?:\((?P<name>[^()]*)\):\s*)?(?:(?P<times>\d+) x )?(?P<rest>[A-Za-z_][\w.]*\(.*)$")
DEEPEST = 64  # levels of containers
MOST = 1_000_000  # layers, repeated ones spelled out
RANGE = re.compile(r"^(\d+)-(\d+)$")


class Line(msgspec.Struct, frozen=True):
    """One printed layer: its dotted name (or ""), its text, the line it stands on (from 1)."""

    name: str
    text: str
    number: int


class Block(msgspec.Struct, frozen=True):
    """A container: the names it stands for (several when torch prints `(0-2): 3 x Block(`), and what it holds."""

    names: tuple[str, ...]
    lines: list[Line | Block]


def is_printed(text: str) -> bool:
    """Whether this is a printed model or a list of layers in PyTorch's spelling, and not YAML."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    return LINE.match(first) is not None and (first.rstrip().endswith(("(", ")")))


def layers(text: str) -> list[Line]:
    """Every leaf layer of a printed model; repeated blocks are spelled out."""
    root = Block(("",), [])
    open_blocks = [root]
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if stripped == ")" and len(open_blocks) > 1:
            open_blocks.pop()
            continue
        match = LINE.match(line)
        if match is None:
            if stripped:
                open_blocks[-1].lines.append(Line("", stripped, number))
            continue
        name, rest = match["name"] or "", match["rest"].rstrip()
        if rest.endswith("(") and rest.count("(") == 1:
            block = Block(_names(name), [])
            if len(open_blocks) > DEEPEST:
                raise SpecError(f"line {number} is nested too deeply", allowed=f"at most {DEEPEST} levels")
            open_blocks[-1].lines.append(block)
            open_blocks.append(block)
        else:
            open_blocks[-1].lines.append(
                Block(_names(name), [Line("", rest, number)]) if match["times"] else Line(name, rest, number)
            )
    found = list(islice(_leaves(root, ""), MOST + 1))
    if len(found) > MOST:
        raise SpecError("the repeated blocks stand for too many layers", allowed=f"at most {MOST:,}")
    return found


def _names(name: str) -> tuple[str, ...]:
    span = RANGE.match(name)
    return tuple(map(str, range(int(span[1]), min(int(span[2]), int(span[1]) + 9999) + 1))) if span else (name,)


def _leaves(block: Block, prefix: str) -> Iterator[Line]:
    for name in block.names:
        outer = ".".join(filter(None, (prefix, name)))
        for line in block.lines:
            if isinstance(line, Block):
                yield from _leaves(line, outer)
            else:
                yield Line(".".join(filter(None, (outer, line.name))), line.text, line.number)
