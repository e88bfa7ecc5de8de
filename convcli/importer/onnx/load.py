"""From an ONNX file to a Network: nothing is run, and no weights are looked at."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec

from convcli.errors import SpecError
from convcli.importer.document import document
from convcli.importer.graph import Graph, pruned
from convcli.importer.onnx.names import settle_names
from convcli.importer.onnx.read import Inputs, inferred, model_of, opset_of, settle_inputs
from convcli.importer.onnx.walk import Walk, sizes_of
from convcli.importer.settled import settled
from convcli.plan import Network
from convcli.spec.build import network


def onnx_graph(data: bytes, source: str, given: Inputs = None, *, name: str = "") -> Graph:
    """The operators in the bytes of an ONNX file as layers.

    given: the shape of the first input, or shapes by the inputs' names; those that the file tells may be left out.
    Raises SpecError for what is no model or lacks a shape, ImportFailed for an opset that onnx does not know.
    """
    model = model_of(data, source)
    inputs = settle_inputs(model, given, source)
    graph = Graph(name or Path(source).stem, next(iter(inputs.values())))
    walk = Walk(graph, inputs, inferred(model), opset_of(model))
    try:
        graph.outputs = walk.through(model.graph)
    except SpecError as error:
        raise _placed(error, source) from None
    graph = pruned(graph)
    settle_names(graph.nodes)
    return settled(_with_lost(graph, walk.lost), sizes_of(walk.trace))


def _with_lost(graph: Graph, lost: list[str]) -> Graph:
    """The graph with a note on what is not counted in it."""
    if lost:
        told = ", ".join(f"{count} {name}" for name, count in sorted(Counter(lost).items()))
        graph.notes.append(
            f"the shapes of {len(lost)} results depend on data, and what they cost is not counted: {told}"
        )
    return graph


def onnx_network(data: bytes, source: str, given: Inputs = None) -> Network:
    """The same as a Network; problems are placed in the file."""
    found = network(document(onnx_graph(data, source, given)), source)
    found.located = lambda error: _placed(error, source)
    return found


def _placed(error: SpecError, source: str) -> SpecError:
    return SpecError(problems=tuple(msgspec.structs.replace(p, source=source) for p in error.problems))
