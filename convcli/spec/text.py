"""The reader of outside text: YAML 1.2, JSON and JSON lines in, plain Python data or a SpecError with its place out.

YAML is read by yaml-rs, JSON by msgspec; nothing in a text is ever executed or imported.
Sources: the YAML 1.2.2 specification (core schema; `<<` as in YAML 1.1), RFC 8259, jsonlines.org.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from convcli.errors import SpecError
from convcli.spec.guards import DEEPEST, checked_text, decoded, dicts, levels, merge
from convcli.spec.layer_lines import layer_lines
from convcli.spec.places import (
    MERGE,
    Node,
    Place,
    error_at,
    excerpt,
    first_document,
    located,
    place,
    place_at,
)
