"""Kernels as users write them: right ones, broken ones, and ones that cheat."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any, TypeAlias

import numpy as np

from convcli import kernels

Array: TypeAlias = Any


def right(x: Array, weight: Array, bias: Array = None, *, stride: Any, padding: Any, **rest: Any) -> Array:
    """A convolution in numpy's own words, without groups, dilation and other modes."""
    assert rest["groups"] == 1
    assert set(rest["dilation"]) == {1}
    rank = len(stride)
    x = np.pad(x, [(0, 0)] * (x.ndim - rank) + list(padding))
    space = tuple(range(x.ndim - rank, x.ndim))
    windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], axis=space)
    steps: tuple[Any, ...] = (..., *(slice(None, None, s) for s in stride), *(slice(None),) * rank)
    windows = windows[steps]
    letters = "".join("hwd"[:rank])
    y = np.einsum(f"nc{letters}{letters.upper()},oc{letters.upper()}->no{letters}", windows, weight)
    return y if bias is None else y + bias.reshape(-1, *(1,) * rank)


def plain(x: Array, weight: Array, bias: Array, stride: Any, padding: Any) -> Array:
    """What a first kernel takes."""
    return right(x, weight, bias, stride=stride, padding=padding, groups=1, dilation=(1,))


def no_bias(x: Array, weight: Array, *, stride: Any, padding: Any) -> Array:
    return plain(x, weight, None, stride, padding)


class Counting:
    """A callable object."""

    def __init__(self, less: int) -> None:
        self.less = less

    def __call__(self, x: Array, weight: Array, bias: Array, stride: Any, padding: Any) -> Array:
        return plain(x, weight, bias, stride, padding) - self.less


counting = Counting(0)
not_a_function = 3


def everything(*arrays: Array, **keywords: Any) -> Array:
    """convcli's own, by the number of arrays and the keywords."""
    if "output_size" in keywords:
        return kernels.deform_roi_pool(*arrays, **keywords)
    if len(arrays) == 5:
        return kernels.deform_conv2d(*arrays, **keywords)
    run = kernels.conv_transpose if "output_padding" in keywords else kernels.conv
    return run(*arrays, **keywords)


def tensors(x: Any, weight: Any, bias: Any, *, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
    """torch tensors in, torch tensors out."""
    import torch.nn.functional as F  # noqa: N812

    assert type(x).__name__ == "Tensor"
    x = F.pad(x, [side for pair in padding[::-1] for side in pair])
    return F.conv2d(x, weight, bias, stride=stride, dilation=dilation, groups=groups)


def scribbling_tensors(x: Any, weight: Any, bias: Any, **keywords: Any) -> Any:
    y = tensors(x, weight, bias, **{key: value for key, value in keywords.items() if key != "padding_mode"})
    x.zero_()
    return y


# Broken ones.


def crashing(*arrays: Array, **keywords: Any) -> Array:
    os.kill(os.getpid(), signal.SIGSEGV)


def hanging(*arrays: Array, **keywords: Any) -> Array:
    time.sleep(600)


def starving(*arrays: Array, **keywords: Any) -> Array:
    return np.empty(2**45)


def refusing(*arrays: Array, **keywords: Any) -> Array:
    raise ValueError("not today")


def lacking(*arrays: Array, **keywords: Any) -> Array:
    raise NotImplementedError("only on weekdays")


def nothing(*arrays: Array, **keywords: Any) -> Array:
    return None


def misshapen(*arrays: Array, **keywords: Any) -> Array:
    return right(*arrays, **keywords)[..., :-1]


def widened(*arrays: Array, **keywords: Any) -> Array:
    return right(*arrays, **keywords).astype(np.float64)


def talking(*arrays: Array, **keywords: Any) -> Array:
    print("garbage")  # noqa: T201 - that is the point
    os.write(1, b"more garbage\n")
    return right(*arrays, **keywords)


def single(x: Array, *rest: Array, **keywords: Any) -> Array:
    if x.dtype != np.float32:
        raise NotImplementedError("float32 alone")
    return right(x, *rest, **keywords)


def missing(x: Array, weight: Array, bias: Array, tile: int, **keywords: Any) -> Array:
    return right(x, weight, bias, **keywords)


# Ones that cheat.


def view(x: Array, weight: Array, bias: Array, **keywords: Any) -> Array:
    """Right, in the memory of its input."""
    y = right(x, weight, bias, **keywords)
    room = x.reshape(-1)[: y.size]
    room[...] = y.reshape(-1)
    return room.reshape(y.shape)


def writing(x: Array, weight: Array, bias: Array, **keywords: Any) -> Array:
    y = right(x, weight, bias, **keywords)
    weight *= 2
    return y


_answers: dict[Any, Array] = {}
_count = 0


def by_shape(*arrays: Array, **keywords: Any) -> Array:
    y: Array = _answers.setdefault((arrays[0].shape, arrays[0].dtype), right(*arrays, **keywords))
    return y.copy()


def by_address(*arrays: Array, **keywords: Any) -> Array:
    y: Array = _answers.setdefault(tuple(map(id, arrays)), right(*arrays, **keywords))
    return y.copy()


def sharing(*arrays: Array, **keywords: Any) -> Array:
    y = right(*arrays, **keywords)
    buffer = _answers.setdefault((y.shape, y.dtype), np.empty_like(y))
    buffer[...] = y
    return buffer


def only_once(*arrays: Array, **keywords: Any) -> Array:
    """Right on the first two calls of a process."""
    global _count  # noqa: PLW0603
    _count += 1
    return right(*arrays, **keywords) + (_count > 2)


def patching(*arrays: Array, **keywords: Any) -> Array:
    np.array_equal = np.allclose  # type: ignore[assignment]
    return right(*arrays, **keywords)


def reference(*arrays: Array, **keywords: Any) -> Array:
    return kernels.conv(*arrays, **keywords)


def square_only(x: Array, *arrays: Array, **keywords: Any) -> Array:
    """Height where the width belongs."""
    y = right(x, *arrays, **keywords)
    return y if x.shape[2] == x.shape[3] else y[..., ::-1]


def small_only(x: Array, *arrays: Array, **keywords: Any) -> Array:
    """One tile."""
    y = right(x, *arrays, **keywords)
    y[..., 32:] = 0
    return y


def one_image(x: Array, *arrays: Array, **keywords: Any) -> Array:
    y = right(x, *arrays, **keywords)
    y[1:] = y[0]
    return y


def fixed(x: Array, *arrays: Array, **keywords: Any) -> Array:
    """Says so when the input is not the one it was made for."""
    if x.shape[2:] != (9, 9):
        raise ValueError("made for 9x9")
    return right(x, *arrays, **keywords)


def whole_only(*arrays: Array, **keywords: Any) -> Array:
    """Through eight bits of mantissa, as a fast mode might."""
    cut = [None if a is None else a.astype(np.float16).astype(a.dtype) for a in arrays]
    return right(*cut, **keywords)


def strides_ignored(x: Array, *rest: Array, **keywords: Any) -> Array:
    """Reads x as if it lay in one piece, as a pointer without its strides does."""
    raw = np.lib.stride_tricks.as_strided(x, x.shape, np.empty(x.shape, x.dtype).strides)
    return right(raw, *rest, **keywords)


def contiguous_only(x: Array, *rest: Array, **keywords: Any) -> Array:
    if not x.flags.c_contiguous:
        raise ValueError("x must be C-contiguous")
    return right(x, *rest, **keywords)


def peeking(*arrays: Array, **keywords: Any) -> Array:
    """Looks for the expected result wherever the data are: there must be none."""
    import tempfile
    from pathlib import Path

    from convcli.verifier.exchange import SMALL

    given = list(Path(tempfile.gettempdir()).glob("convcli-*/*/given/*.npy"))
    large = max(array.nbytes for array in arrays if array is not None) > SMALL
    assert given or not large, "the data are not where they were: look elsewhere"
    assert not list(Path(tempfile.gettempdir()).glob("convcli-*/*/expected/**/*.npy"))
    assert not any(name.startswith("convcli.verifier.tasks") for name in sys.modules)
    return right(*arrays, **keywords)
