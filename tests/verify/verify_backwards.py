"""Backwards as users write them: right ones, broken ones, and ones that cheat."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from convcli import kernels

Array: TypeAlias = Any
Gradients: TypeAlias = tuple[Any, ...]


def right(dy: Array, x: Array, weight: Array, *, stride: Any, padding: Any, **rest: Any) -> Gradients:
    """A plane convolution's, in numpy's own words, without groups, dilation and other modes."""
    assert rest["groups"] == 1
    assert set(rest["dilation"]) == {1}
    edges = [(0, 0), (0, 0), *padding]
    wide = np.pad(x, edges)
    dwide, dw = np.zeros_like(wide), np.zeros_like(weight)
    for i, j in np.ndindex(weight.shape[2:]):
        cells = (
            ...,
            slice(i, i + dy.shape[2] * stride[0], stride[0]),
            slice(j, j + dy.shape[3] * stride[1], stride[1]),
        )
        dw[:, :, i, j] = np.einsum("nohw,nchw->oc", dy, wide[cells])
        dwide[cells] += np.einsum("nohw,oc->nchw", dy, weight[:, :, i, j])
    inside = tuple(slice(before, before + size) for (before, _), size in zip(edges, x.shape, strict=True))
    return dwide[inside].copy(), dw, dy.sum((0, 2, 3))


def plain(dy: Array, x: Array, weight: Array, stride: Any, padding: Any) -> Gradients:
    """What a first backward takes."""
    return right(dy, x, weight, stride=stride, padding=padding, groups=1, dilation=(1,))


def no_bias(*arrays: Array, **keywords: Any) -> Gradients:
    return (*right(*arrays, **keywords)[:2], None)


def everything(*arrays: Array, **keywords: Any) -> Gradients:
    """convcli's own, by the number of arrays and the keywords."""
    if "output_size" in keywords:
        return kernels.deform_roi_pool_backward(*arrays, **keywords)
    if len(arrays) == 5:
        return kernels.deform_conv2d_backward(*arrays, **keywords)
    run = kernels.conv_transpose_backward if "output_padding" in keywords else kernels.conv_backward
    return run(*arrays, **keywords)


# Broken ones.


def turned(*arrays: Array, **keywords: Any) -> Gradients:
    dx, dw, db = right(*arrays, **keywords)
    return dx, dw[..., ::-1, ::-1].copy(), db


def short(*arrays: Array, **keywords: Any) -> Gradients:
    return right(*arrays, **keywords)[:2]


def bare(*arrays: Array, **keywords: Any) -> Any:
    return right(*arrays, **keywords)[0]


def listed(*arrays: Array, **keywords: Any) -> Gradients:
    dx, dw, db = right(*arrays, **keywords)
    return dx, dw.tolist(), db


def widened(*arrays: Array, **keywords: Any) -> Gradients:
    dx, dw, db = right(*arrays, **keywords)
    return dx, dw, db.astype(np.float64)


def lacking(*arrays: Array, **keywords: Any) -> Gradients:
    raise NotImplementedError("no training here")


def refusing(*arrays: Array, **keywords: Any) -> Gradients:
    raise ValueError("not today")


# Ones that cheat, or are right by chance.

_answers: dict[Any, Any] = {}


def by_shape(*arrays: Array, **keywords: Any) -> Gradients:
    found = _answers.setdefault((arrays[0].shape, arrays[0].dtype), right(*arrays, **keywords))
    return tuple(gradient.copy() for gradient in found)


def sharing(*arrays: Array, **keywords: Any) -> Gradients:
    dx, dw, db = right(*arrays, **keywords)
    buffer = _answers.setdefault((dw.shape, dw.dtype), np.empty_like(dw))
    buffer[...] = dw
    return dx, buffer, db


def writing(dy: Array, x: Array, weight: Array, **keywords: Any) -> Gradients:
    found = right(dy, x, weight, **keywords)
    dy *= 2
    return found


def view(dy: Array, x: Array, weight: Array, **keywords: Any) -> Gradients:
    dx, dw, db = right(dy, x, weight, **keywords)
    x[...] = dx
    return x, dw, db


def one_image(dy: Array, x: Array, weight: Array, **keywords: Any) -> Gradients:
    """The bias of the first image."""
    dx, dw, _ = right(dy, x, weight, **keywords)
    return dx, dw, dy[0].sum((1, 2))


def whole_only(dy: Array, *arrays: Array, **keywords: Any) -> Gradients:
    """dy through eight bits of mantissa."""
    return right(dy.astype(np.float16).astype(dy.dtype), *arrays, **keywords)


def strides_ignored(dy: Array, x: Array, weight: Array, **keywords: Any) -> Gradients:
    """Reads x as if it lay in one piece."""
    raw = np.lib.stride_tricks.as_strided(x, x.shape, np.empty(x.shape, x.dtype).strides)
    return right(dy, raw, weight, **keywords)


# Through torch's autograd.


def tensors(x: Any, weight: Any, bias: Any, *, stride: Any, padding: Any, groups: int) -> Any:
    import torch.nn.functional as F  # noqa: N812

    x = F.pad(x, [side for pair in padding[::-1] for side in pair])
    return F.conv2d(x, weight, bias, stride=stride, groups=groups)


def wrong_function(x: Any, weight: Any, bias: Any, *, stride: Any, padding: Any, groups: int) -> Any:
    """Right values, and a backward that forgets half of the weight's gradient."""
    import torch

    class Halved(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, weight: Any) -> Any:  # noqa: ARG004
            return weight.clone()

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:  # noqa: ARG004
            return gradient / 2

    halved: Any = Halved.apply(weight)
    return tensors(x, halved, bias, stride=stride, padding=padding, groups=groups)


def cut_off(x: Any, weight: Any, bias: Any, *, stride: Any, padding: Any, groups: int) -> Any:
    return tensors(x, weight, bias, stride=stride, padding=padding, groups=groups).detach()


def tensor_gradients(dy: Any, x: Any, weight: Any, *, stride: Any, padding: Any, groups: int) -> Any:
    """torch tensors in, torch tensors out."""
    import torch

    leaves = [tensor.clone().requires_grad_() for tensor in (x, weight, torch.zeros(len(weight), dtype=x.dtype))]
    y = tensors(*leaves, stride=stride, padding=padding, groups=groups)
    return torch.autograd.grad(y, leaves, dy)
