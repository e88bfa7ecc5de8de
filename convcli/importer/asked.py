"""What `import` is asked of a model, as data: it is the same for one model and for many, here and in a worker."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import msgspec

from convcli.errors import BackendMissing, SpecError
from convcli.importer.target import FORM

if TYPE_CHECKING:
    from convcli.importer.graph import Graph
    from convcli.importer.torch.load import Input


class Asked(msgspec.Struct, frozen=True):
    """inputs: as they are typed, "1,3,224,224", "1,128:int64", "x=1,3,224,224". arguments: what a callable is given."""

    inputs: tuple[str, ...] = ()
    arguments: dict[str, Any] = {}
    partial: bool = False
    run: bool = False

    @property
    def options(self) -> dict[str, Any]:
        """The same in words that JSON has."""
        arguments = {name: repr(value) for name, value in self.arguments.items()}
        return {"inputs": list(self.inputs), "arguments": arguments, "partial": self.partial, "run": self.run}

    def check(self, targets: list[str]) -> None:
        """Raise SpecError for what makes no sense, whatever is in the models: none of their code runs."""
        for target in targets:
            if not is_onnx(target) and not _named(target):
                raise SpecError(f"{target!r} names no model", allowed=f"{FORM}, or FILE.onnx")
        if any(map(is_onnx, targets)):
            self.given()
        if all(map(is_onnx, targets)):
            self.only_read()
        elif not self.shapes():
            raise SpecError("the model needs an input", field="--input", allowed="a shape", repair="-i 1,3,224,224")

    def only_read(self) -> None:
        """Raise SpecError for what is asked of models that run."""
        told = {"--arg": self.arguments, "--partial": self.partial, "--run": self.run}
        if flags := [flag for flag, said in told.items() if said]:
            raise SpecError(f"{', '.join(flags)}: an ONNX file is read, not run", allowed="-i, -o, --name")

    def shapes(self) -> list[Input]:
        """The inputs of a torch model: shapes, and their data types where they are told."""
        return [_shape(one) for one in self.inputs]

    def given(self) -> Any:
        """The inputs of an ONNX file: a shape, or shapes by name; None leaves them to the file."""
        from convcli.spec.build import inputs_of

        if len(self.inputs) > 1 and not all("=" in one for one in self.inputs):
            raise SpecError("several inputs need their names", field="--input", allowed="-i name=1,3,224,224, for each")
        return inputs_of(" ".join(self.inputs)) if self.inputs else None


def is_onnx(target: str) -> bool:
    """Whether it is an ONNX file by its name; everything else is Python's."""
    return target.lower().endswith(".onnx")


def _named(target: str) -> bool:
    """Whether it names something in a module or a file, by its form."""
    place, _, name = target.rpartition(":")
    words = name.split(".") if place.endswith(".py") else [*place.split("."), *name.split(".")]
    return all(word.isidentifier() for word in words)


def graph_of(target: str, asked: Asked, name: str = "") -> Graph:
    """The model that `target` names. Importing code runs it.

    Raises SpecError, ImportFailed; BackendMissing where torch or onnx is not installed.
    """
    if is_onnx(target):
        from convcli.importer.onnx.load import onnx_graph
        from convcli.spec.load import contents

        return onnx_graph(contents(target), target, asked.given(), name=name)
    shapes = asked.shapes()
    if find_spec("torch") is None:
        raise BackendMissing('torch is not installed; pip install "convcli[torch]"')
    from convcli.importer.torch.load import torch_graph

    return torch_graph(target, *shapes, arguments=asked.arguments, name=name, run=asked.run, partial=asked.partial)


def told(graph: Graph) -> list[str]:
    """What a reader of the spec should know."""
    unknown = sorted({str(node.fields["operation"]) for node in graph.nodes if node.type == "Unknown"})
    more = [f"nobody has stated the cost of {', '.join(unknown)}: the totals are lower bounds"] if unknown else []
    return [*graph.notes, *more]


def _shape(said: str) -> Input:
    from convcli.spec.build import shape_of

    if "=" in said:
        raise SpecError("inputs by name are for ONNX files", field="--input", allowed="a shape")
    sizes, colon, dtype = said.partition(":")
    shape = shape_of(sizes)
    return (shape, dtype) if colon else shape
