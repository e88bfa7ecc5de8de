"""The functions of torch that are known, by name: what each adds to a trace.

One name serves torch.relu, F.relu, Tensor.relu_ and aten::relu: they differ in nothing that is told here.
"""

from __future__ import annotations

from collections.abc import Callable

from convcli.importer.graph import Node
from convcli.importer.torch.trace import Call, Trace

Handler = Callable[[Trace, Call], Node | None]  # the node that the result comes out of; None: it has said so itself
TABLE: dict[str, Handler] = {}


def on(*names: str) -> Callable[[Handler], Handler]:
    """The function below tells what calls of these names are."""

    def put(handler: Handler) -> Handler:
        TABLE.update(dict.fromkeys(names, handler))
        return handler

    return put
