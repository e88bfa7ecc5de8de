"""Shape errors of PyTorch, recognised by the shape of their text: versions differ in words, not in what they tell."""

from __future__ import annotations

import re

from convcli.errors import SpecError
from convcli.solver.messages import convolution, deform, joining, layers, padding, pooling, transposed
from convcli.solver.messages.reader import Reader
from convcli.solver.records import Reading

MODULES = (deform, convolution, transposed, padding, pooling, layers, joining)
READERS: tuple[Reader, ...] = tuple(reader for module in MODULES for reader in module.READERS)
KNOWN = "convolution, deformable, linear, normalisation, pooling, cat, addition, view and reshape messages of PyTorch"
LONGEST = 1_000_000
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def reading(text: str) -> Reading:
    """The last message in `text` that is known, explained; a traceback may stand around it, lines may be broken.

    Raises SpecError when there is none.
    """
    if len(text) > LONGEST:
        raise SpecError(f"{len(text):,} characters are too many for a message", allowed=f"at most {LONGEST:,}")
    line = " ".join(_COLOURS.sub("", text).split())
    best = None
    for one in READERS:
        found = None
        for found in one.pattern.finditer(line):  # noqa: B007 - the last one is wanted
            pass
        if found is not None and (best is None or found.start() > best[0].start()):
            best = found, one
    if best is None:
        said = repr(line[-80:]) if line else "nothing"
        raise SpecError(f"no shape error that is known is in {said}", allowed=f"{KNOWN}, or a layer, or two sizes")
    found, one = best
    return one.read(found)
