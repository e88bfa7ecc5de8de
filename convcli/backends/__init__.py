"""Implementations behind one small contract, imported by name and only in the process that runs them.

A backend is a module, or an object in one, with the names of `Backend`.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, cast

import msgspec

from convcli.errors import BackendMissing, SpecError
from convcli.layers import Layer, Shape

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]
    Arrays = Mapping[str, Array]

OURS = "convcli.backends.numpy"


class Unsupported(Exception):  # noqa: N818 - not an error: the backend has no such thing
    """The backend lacks this layer or dtype; the message is the reason."""


class Facts(msgspec.Struct, frozen=True):
    """What an implementation says of a layer without running it: output shape, its parameters' shapes, counted MACs."""

    output: Shape
    tensors: dict[str, Shape]
    macs: int


class Backend(Protocol):
    """What the verifier asks of an implementation. `ROUNDS = True` marks one that rounds by nature (Winograd, FFT).

    `FORMATS` names the formats it computes in that numpy has no type for ("bfloat16"). It is then called with the
    format's name as one more argument, for float32 arrays of such numbers, and gives its result as such an array.

    For `bench` it may have `set_threads(threads)`, and `prepared(layer, arrays, dy=None)`: the layer, or with dy its
    gradients, as a call without arguments, all that a user does once being done.
    """

    def versions(self) -> dict[str, str]:
        """Names and versions of the libraries that do the work."""

    def forward(self, layer: Layer, arrays: Arrays) -> Array:
        """y of `layer` for arrays named x, offset, mask and as the layer names its tensors; batch first or none.

        Raises Unsupported; any other exception means that the backend refuses the layer.
        """

    def backward(self, layer: Layer, arrays: Arrays, dy: Array) -> dict[str, Array]:
        """The gradient of each of `arrays`, by its name, for the output's gradient `dy`. A backend may lack it."""

    def accepts(self, type_: str, fields: Mapping[str, Any], shapes: Mapping[str, Shape]) -> Shape:
        """The output's shape of a layer that may be illegal, in torch.nn's words; raises where it is. May be lacking.

        shapes: of x, and of a deformable layer's offset and mask.
        """

    def facts(self, layer: Layer, shape: Shape) -> Facts:
        """The facts for an input of `shape`, (N, C, *space) or (C, *space), without touching its elements."""


class Companions(Protocol):
    """What a backend's attribute `companions` answers, of the layers between convolutions. A backend may lack it."""

    def forward(self, layer: Layer, arrays: Arrays, dtype: str = "") -> Array:
        """y in inference, for arrays named x, x2, ... and as PyTorch names parameters and running statistics."""

    def facts(self, layer: Layer, shapes: tuple[Shape, ...]) -> Facts:
        """The facts for inputs of these shapes, without touching their elements."""


class _Installed(msgspec.Struct, frozen=True):
    """A backend by its short name: the distribution it needs, our adapter, how to install it."""

    needs: str
    module: str
    install: str


REGISTERED: Mapping[str, _Installed] = {
    "torch": _Installed("torch", "convcli.backends.torch", 'pip install "convcli[torch]"'),
    "onnxruntime": _Installed("onnxruntime", "convcli.backends.onnxruntime", "pip install onnxruntime onnx"),
    "onnx-reference": _Installed("onnx", "convcli.backends.onnx_reference", "pip install onnx"),
    "jax": _Installed("jax", "convcli.backends.jax", "pip install jax"),
    "tensorflow": _Installed("tensorflow", "convcli.backends.tensorflow", "pip install tensorflow-cpu"),
}


def module_of(name: str) -> str:
    """The adapter of a registered backend; any other name is a module, or module:attribute, itself."""
    return REGISTERED[name].module if name in REGISTERED else name


def require(name: str) -> None:
    """Raise BackendMissing when the backend's library is not installed, SpecError when nothing has that name.

    Nothing of it is imported.
    """
    known = REGISTERED.get(name)
    if known and importlib.util.find_spec(known.needs) is None:
        raise BackendMissing(f"{known.needs} is not installed; {known.install}")
    package = name.partition(":")[0].partition(".")[0]
    if not known and not (package.isidentifier() and importlib.util.find_spec(package)):
        from difflib import get_close_matches  # a slow import that only errors need

        near = get_close_matches(name, REGISTERED, n=1)
        raise SpecError(
            f"there is no backend {name!r}",
            field="--against",
            allowed=f"{', '.join(REGISTERED)}, or a module:name of your own",
            repair=near[0] if near else "",
        )


def backend(name: str) -> Backend:
    """The backend itself, imported here."""
    module, _, attribute = module_of(name).partition(":")
    found: object = importlib.import_module(module)
    return cast("Backend", getattr(found, attribute) if attribute else found)


def companions_of(name: str) -> Companions | None:
    """What it says of the layers between convolutions; None when it is asked for convolutions alone."""
    return cast("Companions | None", getattr(backend(name), "companions", None))


def part_arrays(part: str, arrays: Arrays) -> dict[str, Array]:
    """The tensors of one part of a composite, under the part's own names."""
    prefix = f"{part}."
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def named_by_part(part: str, gradients: Arrays) -> dict[str, Array]:
    """A part's gradients under the composite's names, that of its input left out: it is the whole's to pass on."""
    return {f"{part}.{name}": gradient for name, gradient in gradients.items() if name != "x"}
