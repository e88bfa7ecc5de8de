"""convcli: the convolution calculator and verifier.

layer = convcli.parse("Conv2d(3, 64, 7, stride=2, padding=3)"); layer.macs((1, 3, 224, 224))
net = convcli.load("net.yaml"); report = convcli.summarize(net); outcome = convcli.verify(net)

Names are loaded when they are first used: importing convcli imports neither numpy nor torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from convcli._version import __version__

if TYPE_CHECKING:
    from convcli import kernels
    from convcli.conventions.differs import why_differs
    from convcli.errors import Problem, SpecError
    from convcli.explaining.record import explain
    from convcli.gate.check import check
    from convcli.gate.sides import diff
    from convcli.importer.torch.load import import_torch
    from convcli.merging.merge import merge
    from convcli.pictures.choice import draw
    from convcli.receptive.record import receptive_field
    from convcli.records import summarize
    from convcli.solver.solve import solve
    from convcli.spec.load import load, parse
    from convcli.timing.run import bench
    from convcli.verifier.explain.replay import replay
    from convcli.verifier.fuzz.run import fuzz
    from convcli.verifier.own import verify_kernel
    from convcli.verifier.run import verify
    from convcli.zoo.run import import_models

__all__ = [
    "Problem",
    "SpecError",
    "__version__",
    "bench",
    "check",
    "diff",
    "draw",
    "explain",
    "fuzz",
    "import_models",
    "import_torch",
    "kernels",
    "load",
    "merge",
    "parse",
    "receptive_field",
    "replay",
    "solve",
    "summarize",
    "verify",
    "verify_kernel",
    "why_differs",
]

_HOMES = {
    "Problem": "convcli.errors",
    "SpecError": "convcli.errors",
    "bench": "convcli.timing.run",
    "check": "convcli.gate.check",
    "diff": "convcli.gate.sides",
    "draw": "convcli.pictures.choice",
    "explain": "convcli.explaining.record",
    "fuzz": "convcli.verifier.fuzz.run",
    "import_models": "convcli.zoo.run",
    "import_torch": "convcli.importer.torch.load",
    "load": "convcli.spec.load",
    "merge": "convcli.merging.merge",
    "parse": "convcli.spec.load",
    "receptive_field": "convcli.receptive.record",
    "replay": "convcli.verifier.explain.replay",
    "solve": "convcli.solver.solve",
    "summarize": "convcli.records",
    "verify": "convcli.verifier.run",
    "verify_kernel": "convcli.verifier.own",
    "why_differs": "convcli.conventions.differs",
}


def __getattr__(name: str) -> Any:
    if name == "kernels":
        return import_module("convcli.kernels")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'convcli' has no attribute {name!r}")
