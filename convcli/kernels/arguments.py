"""The door of the kernels: arrays and keywords as a caller gives them become one settled `Call`.

Behind it x has its batch, every array the dtype that is summed in, and every padding is a number.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec
import numpy as np
import numpy.typing as npt

from convcli.axis import PADDING_MODES, Axis, axes, whole
from convcli.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Array = npt.NDArray[Any]
Numbers = int | tuple[int, ...] | list[int]
DTYPES = "float16, float32, float64 or an integer type"


class Call(msgspec.Struct, frozen=True):
    """One call, settled: x (N, C, *in), weight as the layer holds it, bias (O,), the output's size per axis."""

    x: Array
    weight: Array
    bias: Array | None
    axes: tuple[Axis, ...]
    out: tuple[int, ...]
    groups: int
    dtype: Any
    batched: bool
    padding_mode: str = "zeros"

    @property
    def space(self) -> tuple[int, ...]:
        """The input's size per spatial axis."""
        return self.x.shape[2:]

    @property
    def kernel(self) -> tuple[int, ...]:
        """The kernel's size per spatial axis."""
        return self.weight.shape[2:]

    @property
    def strides(self) -> tuple[int, ...]:
        """The stride per spatial axis."""
        return tuple(axis.stride for axis in self.axes)


class DeformCall(Call, frozen=True, kw_only=True):
    """A deformable call: offset (N, 2*og*T, *out), mask (N, og*T, *out) or None, og groups of offsets, T taps."""

    offset: Array
    mask: Array | None
    offset_groups: int


AnyCall = TypeVar("AnyCall", bound=Call)


def result(methods: Mapping[str, Callable[[AnyCall], Array]], name: str, call: AnyCall) -> Array:
    """The method's sums plus the bias, rounded once to x's dtype; infinities and NaNs as IEEE has them, silently."""
    with quiet():
        y = methods[name](call)
        if call.bias is not None:
            y += call.bias.reshape(-1, *(1,) * len(call.out))
        return per_sample(call, y)


def quiet() -> np.errstate:
    """Infinities and NaNs come and go without a warning."""
    return np.errstate(over="ignore", under="ignore", invalid="ignore")


def per_sample(call: Call, array: Array) -> Array:
    """(N, ...) as the caller gets it: in x's dtype, without N when x came without it."""
    array = array.astype(call.dtype, copy=False)
    return array if call.batched else cast("Array", array[0])


def known(field: str, name: object, names: Mapping[str, object] | tuple[str, ...]) -> str:
    """`name` itself when it is one of `names`; SpecError lists them otherwise."""
    if not isinstance(name, str) or name not in names:
        raise SpecError(f"{field}={name!r} is not known", field=field, allowed=", ".join(names))
    return name


def convolution_call(
    x: npt.ArrayLike, weight: npt.ArrayLike, bias: npt.ArrayLike | None, groups: int, padding_mode: str, **sliding: Any
) -> Call:
    """Conv: x (N, C, *in) or (C, *in), weight (O, C/groups, *kernel), bias (O,); `sliding` is what `axes` takes."""
    a, w = np.asarray(x), np.asarray(weight)
    batched = _check_ranks(a, w)
    g = whole("groups", plain("groups", groups), least=1)
    outs, channels = w.shape[0], a.shape[-w.ndim + 1]
    if outs < 1 or outs % g:
        raise _wrong("weight", w, f"(O, C/groups, *kernel) with O a multiple of groups={g}, at least one")
    if channels != w.shape[1] * g:
        raise _wrong("x", a, f"{w.shape[1] * g} channels, weight.shape[1]={w.shape[1]} for each of groups={g}")
    space = a.shape[-w.ndim + 2 :]
    settled = tuple(axis.settled(n) for axis, n in zip(_axes(w, sliding), space, strict=True))
    known("padding_mode", padding_mode, PADDING_MODES)
    for axis, size in zip(settled, space, strict=True):
        axis.check_padding_mode(padding_mode, size)
    out = tuple(axis.out(n) for axis, n in zip(settled, space, strict=True))
    work = _work_dtype(a, weight=w)
    return Call(
        _with_batch(a, work, batched),
        w.astype(work, copy=False),
        _bias(bias, a, outs, work),
        settled,
        out,
        g,
        a.dtype,
        batched,
        padding_mode,
    )


def transposed_call(
    x: npt.ArrayLike, weight: npt.ArrayLike, bias: npt.ArrayLike | None, groups: int, **sliding: Any
) -> Call:
    """ConvTranspose: x (N, C, *in) or (C, *in), weight (C, O/groups, *kernel), bias (O,)."""
    a, w = np.asarray(x), np.asarray(weight)
    batched = _check_ranks(a, w)
    g = whole("groups", plain("groups", groups), least=1)
    channels, outs = a.shape[-w.ndim + 1], w.shape[1] * g
    if channels != w.shape[0] or channels % g:
        raise _wrong("x", a, f"as many channels as weight.shape[0]={w.shape[0]}, a multiple of groups={g}")
    if outs < 1:
        raise _wrong("weight", w, "(C, O/groups, *kernel) with O/groups at least one")
    space = a.shape[-w.ndim + 2 :]
    settled = tuple(axis.transposed_settled(n) for axis, n in zip(_axes(w, sliding), space, strict=True))
    for axis in settled:
        axis.check_output_padding()
    out = tuple(axis.transposed_out(n) for axis, n in zip(settled, space, strict=True))
    work = _work_dtype(a, weight=w)
    return Call(
        _with_batch(a, work, batched),
        w.astype(work, copy=False),
        _bias(bias, a, outs, work),
        settled,
        out,
        g,
        a.dtype,
        batched,
    )


def deform_call(
    x: npt.ArrayLike,
    offset: npt.ArrayLike,
    weight: npt.ArrayLike,
    bias: npt.ArrayLike | None,
    mask: npt.ArrayLike | None,
    **sliding: Any,
) -> DeformCall:
    """DeformConv2d: x (N, C, H, W), offset (N, 2*og*T, *out), weight (O, C/groups, kh, kw), mask (N, og*T, *out).

    groups and the offset groups og follow from the shapes. All of x, offset and mask may come without their batch.
    """
    a, w, shift = np.asarray(x), np.asarray(weight), np.asarray(offset)
    if w.ndim != 4:
        raise _wrong("weight", w, "(O, C/groups, kernel_height, kernel_width)")
    batched = _check_ranks(a, w)
    channels, (outs, per_group, *kernel) = a.shape[-3], w.shape
    groups = channels // per_group if per_group else 1
    if channels != groups * per_group or groups < 1:
        raise _wrong("x", a, f"a multiple of weight.shape[1]={per_group} channels")
    if outs < 1 or outs % groups:
        raise _wrong("weight", w, f"(O, C/groups, *kernel) with O a multiple of groups={groups}, at least one")
    settled = tuple(axis.settled(n) for axis, n in zip(_axes(w, sliding, negative=False), a.shape[-2:], strict=True))
    out = tuple(axis.out(n) for axis, n in zip(settled, a.shape[-2:], strict=True))
    taps, batch = kernel[0] * kernel[1], a.shape[:-3]
    og = _offset_groups(shift, batch, taps, out, channels)
    scale = None if mask is None else np.asarray(mask)
    if scale is not None and scale.shape != (*batch, og * taps, *out):
        raise _wrong(
            "mask", scale, f"{(*batch, og * taps, *out)}: {taps} taps for each of {og} offset groups, the output's size"
        )
    work = _work_dtype(a, weight=w, offset=shift, **({} if scale is None else {"mask": scale}))
    return DeformCall(
        _with_batch(a, work, batched),
        w.astype(work, copy=False),
        _bias(bias, a, outs, work),
        settled,
        out,
        groups,
        a.dtype,
        batched,
        offset=_with_batch(shift, work, batched),
        mask=None if scale is None else _with_batch(scale, work, batched),
        offset_groups=og,
    )


def output_gradient(dy: npt.ArrayLike, call: Call, outs: int) -> Array:
    """The gradient in the call's output as (N, O, *out), in the dtype that is summed in; `outs` is O."""
    g = np.asarray(dy)
    expected = (*call.x.shape[: call.batched], outs, *call.out)
    if g.shape != expected:
        raise _wrong("dy", g, f"{expected}, the output's shape")
    _check_dtype("dy", g, call.dtype)
    return _with_batch(g, call.x.dtype, call.batched)


def plain(field: str, value: object) -> Any:
    """`value` with numpy's integers and arrays as Python's; SpecError for what is no number, word or sequence."""
    if isinstance(value, int | str):
        return value
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, tuple | list):
        return tuple(plain(field, entry) for entry in value)
    if hasattr(value, "__index__") and not isinstance(value, np.bool_):
        return operator.index(value)
    raise SpecError(
        f"{field}={value!r} is not a whole number", field=field, allowed="whole numbers, one or one per axis"
    )


def _axes(weight: Array, sliding: Mapping[str, Any], *, negative: bool = True) -> tuple[Axis, ...]:
    return axes(
        weight.shape[2:], negative_padding=negative, **{field: plain(field, value) for field, value in sliding.items()}
    )


def _wrong(field: str, array: Array, expected: str) -> SpecError:
    return SpecError(f"{field} has the shape {array.shape}", field=field, allowed=expected)


def _check_ranks(x: Array, weight: Array) -> bool:
    """Whether x has a batch axis."""
    rank = weight.ndim - 2
    if not 1 <= rank <= 3:
        raise _wrong("weight", weight, "two channel axes and 1 to 3 spatial ones")
    if x.ndim not in (rank + 1, rank + 2):
        raise _wrong("x", x, f"(N, C, *space) or (C, *space) with the {rank} spatial axes of weight {weight.shape}")
    if 0 in x.shape[-rank:]:
        raise _wrong("x", x, "at least one cell on every spatial axis")
    return x.ndim == rank + 2


def _offset_groups(offset: Array, batch: tuple[int, ...], taps: int, out: tuple[int, ...], channels: int) -> int:
    expected = (
        f"{(*batch, '2*og*' + str(taps), *out)}: (dy, dx) for {taps} taps and og offset groups, the output's size"
    )
    if offset.ndim != len(batch) + 3 or offset.shape[:-3] != batch or offset.shape[-2:] != out:
        raise _wrong("offset", offset, expected)
    og, rest = divmod(int(offset.shape[-3]), 2 * taps)
    if rest or og < 1 or channels % og:
        raise _wrong("offset", offset, f"{expected}, og a divisor of the {channels} channels")
    return og


def _work_dtype(x: Array, **others: Array) -> np.dtype[Any]:
    """What is summed in: float32 for float16, the dtype itself for float32 and float64, int64 for integers."""
    for field, array in others.items():
        _check_dtype(field, array, x.dtype)
    kind, size = x.dtype.kind, x.dtype.itemsize
    if kind in "iu":
        return np.dtype(np.int64)
    if kind == "f" and size in (2, 4, 8):
        return np.dtype(np.float64 if size == 8 else np.float32)
    raise SpecError(f"x is {x.dtype}", field="x", allowed=DTYPES)


def _check_dtype(field: str, array: Array, dtype: np.dtype[Any]) -> None:
    if array.dtype != dtype:
        raise SpecError(f"{field} is {array.dtype}, x is {dtype}", field=field, allowed="one dtype for all arrays")


def _with_batch(array: Array, work: np.dtype[Any], batched: bool) -> Array:  # noqa: FBT001
    array = array.astype(work, copy=False)
    return array if batched else array[None]


def _bias(bias: npt.ArrayLike | None, x: Array, outs: int, work: np.dtype[Any]) -> Array | None:
    if bias is None:
        return None
    b = np.asarray(bias)
    if b.shape != (outs,):
        raise _wrong("bias", b, f"({outs},), one entry per output channel")
    _work_dtype(x, bias=b)
    return b.astype(work, copy=False)
