"""A few lines of Python that stand on their own: the arrays, both sides' answers, and both printed."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.backends.kernel import POSITIONAL, keywords
from convcli.layers import Conv, ConvTranspose, DeformConv, Layer
from convcli.verifier.explain.experiment import other_name, tried
from convcli.verifier.formats import stored
from convcli.verifier.repro import spelled

if TYPE_CHECKING:
    from convcli.backends import Array, Arrays
    from convcli.plan import Step
    from convcli.verifier.jobs import Wanted

MOST = 400  # numbers that a person still looks at
KERNELS: Mapping[str, str] = {"conv": "conv", "conv_transpose": "conv_transpose", "deform_conv": "deform_conv2d",
                            "deform_roi_pool": "deform_roi_pool"}  # fmt: skip
FUNCTIONAL: Mapping[str, str] = {"conv": "conv{}d", "conv_transpose": "conv_transpose{}d"}


def script(step: Step, arrays: Arrays, wanted: Wanted, dtype: str) -> str:
    """Runs both sides on these arrays and prints both.

    "" where that takes more numbers than anyone reads, or a format that numpy has not.

    torch is called as its users call it where it has one function for the layer; everything else through convcli's
    backends, which call a kernel of the user's with just the keywords that it takes.
    """
    many = sum(int(np.count_nonzero(array)) for array in arrays.values()) > MOST
    if many or stored(dtype) != dtype or any(target.pickled for target in wanted.own):
        return ""
    backward = "dy" in arrays
    imports, theirs = _theirs(step.layer, arrays, wanted, backward=backward)
    ours = _ours(step.layer, arrays, backward=backward)
    names = [word for word in ("kernels", "parse") if word in ours + theirs or (word == "parse" and "layer" in theirs)]
    lines = ["import numpy as np", f"from convcli import {', '.join(names)}", *imports]
    lines += ["from convcli.backends import backend"] if "backend(" in ours + theirs else []
    lines += [_array(name, array, dtype) for name, array in arrays.items()]
    if "layer" in theirs:
        x = "x.shape[1:]" if step.batch else "x.shape"
        given = ", ".join(f"{name!r}: {_variable(name)}" for name in arrays if name != "dy")
        lines.append(f"layer, arrays = parse({spelled(step)[0]!r}).settled({x}), {{{given}}}")
    return "\n".join([*lines, f'print("convcli", {ours})', f'print("{other_name(wanted)}", {theirs})']) + "\n"


def _ours(layer: Layer, arrays: Arrays, *, backward: bool) -> str:
    name = KERNELS.get(layer.kind)
    if name is None:
        return _by_backend("convcli.backends.numpy", backward=backward)
    options = ", ".join(f"{key}={value!r}" for key, value in _options(layer).items())
    if backward:
        names = [key for key in POSITIONAL[layer.kind] if key != "bias"]
        given = ", ".join(key if key in arrays else "None" for key in ("dy", *names))
        return f"kernels.{name}_backward({given}, {options})"
    given = ", ".join(key if key in arrays else "None" for key in POSITIONAL[layer.kind])
    return f"kernels.{name}({given}, {options})"


def _options(layer: Layer) -> dict[str, Any]:
    """What the kernels are told beside the arrays, without what says nothing."""
    silent = {"groups": 1, "padding_mode": "zeros"}
    return {key: value for key, value in keywords(layer).items() if silent.get(key) != value}


def _theirs(layer: Layer, arrays: Arrays, wanted: Wanted, *, backward: bool) -> tuple[list[str], str]:
    """(the imports that it takes, the call)"""
    target = tried(wanted, backward=backward)
    if target:
        place, _, name = target.place.rpartition(":")
        file = place.endswith(".py") or "/" in place
        folder = Path(place).expanduser().parent if file else Path()  # as typed: run where convcli was run
        module = Path(place).stem if file else place
        first, *inner = name.split(".")
        lines = ["from convcli.backends.kernel import Kernel"]
        lines.append(f"import sys; sys.path.insert(0, {str(folder)!r}); from {module} import {first}")
        options = "" if target.arrays == "numpy" else f", {target.arrays!r}"
        given = "layer, arrays, dy" if backward else "layer, arrays"
        return lines, f"Kernel({'.'.join([first, *inner])}{options}).{target.role}({given})"
    functional = FUNCTIONAL.get(layer.kind)
    if wanted.against == "torch" and functional and not backward and _in_one_call(layer):
        given = ", ".join(f"torch.from_numpy({key})" if key in arrays else "None" for key in POSITIONAL[layer.kind])
        call = f"torch.nn.functional.{functional.format(len(layer.axes))}({given}, {_torch_options(layer)})"
        return ["import torch"], call
    return [], _by_backend(wanted.against, backward=backward)


def _by_backend(name: str, *, backward: bool) -> str:
    call = "backward(layer, arrays, dy)" if backward else "forward(layer, arrays)"
    return f"backend({name!r}).{call}"


def _in_one_call(layer: Layer) -> bool:
    """torch's function does it all: no other padding than zeros, the same at both ends."""
    symmetric = all(axis.before == axis.after >= 0 for axis in layer.axes)
    return symmetric and not isinstance(layer, DeformConv) and getattr(layer, "padding_mode", "zeros") == "zeros"


def _torch_options(layer: Layer) -> str:
    options: dict[str, Any] = {
        "stride": tuple(axis.stride for axis in layer.axes),
        "padding": tuple(axis.before for axis in layer.axes),
        "dilation": tuple(axis.dilation for axis in layer.axes),
    }
    if isinstance(layer, ConvTranspose):
        options["output_padding"] = tuple(axis.output_padding for axis in layer.axes)
    if isinstance(layer, Conv | ConvTranspose):
        options["groups"] = layer.groups or 1
    return ", ".join(f"{key}={value!r}" for key, value in options.items())


def _array(name: str, array: Array, dtype: str) -> str:
    """x = np.zeros((1, 1, 2, 2), "float32"); x.flat[[3]] = [1]"""
    variable, kind = _variable(name), f'"{dtype}"'
    places = np.flatnonzero(array)
    if len(places) == prod(array.shape):
        values = ", ".join(f"{value:.17g}" for value in array.ravel().tolist())
        return "\n".join(
            textwrap.wrap(
                f"{variable} = np.array([{values}], {kind}).reshape({array.shape})", 116, break_long_words=False
            )
        )
    line = f"{variable} = np.zeros({array.shape}, {kind})"
    if len(places):
        values = ", ".join(f"{array.flat[place]:.17g}" for place in places)
        line += f"; {variable}.flat[{places.tolist()}] = [{values}]"
    return line


def _variable(name: str) -> str:
    return name.replace(".", "_")
