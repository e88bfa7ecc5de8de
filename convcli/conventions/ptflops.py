"""ptflops (pytorch backend): a hook on every module of a known class, and some functions wrapped beside it.

The hooks' sum is divided by the length of the model's input; what the wrapped functions add is not. Many modules call
such a function, and so are counted by both.
"""

from __future__ import annotations

from math import prod

from convcli.conventions.fvcore import broadcast, first_by_last
from convcli.conventions.site import Site
from convcli.conventions.tool import Reason, Rule, Stops, Tool, alike, bias, factor, nothing, per_input, per_output
from convcli.layers.linear import MultiheadAttention

SAMPLING = 24  # 4 corners of 5 operations and 4 for the coordinates, per tap and position whatever the channels
AGAIN = "wraps the function that the module calls too, and counts it a second time"
MODULE, FUNCTION = (
    "counts one per element of an activation",
    "wraps the function that the module calls: one per element",
)


def _conv(site: Site) -> tuple[Reason, ...]:
    """Taps * C*O/groups * x.shape[0] * positions, and the bias; a transposed layer's positions are the input's."""
    return (_unbatched(site),) if site.unbatched else (bias(site),)


def _unbatched(site: Site) -> Reason:
    side = site.x if site.counts.macs_zero_insert is not None else site.y
    pairs = _channel_pairs(site)
    told = site.x[0] * prod(side[2:]) * site.taps * (pairs + _sampling(site))
    told += site.x[0] * prod(site.y[1:]) if "bias" in site.tensors else 0
    words = "takes axis 0 for the batch and axis 2 for the first position, which they are not; the bias counts too"
    return Reason(told - site.counts.macs, words, factor(told, site.counts.macs))


def _channel_pairs(site: Site) -> int:
    return prod(site.tensors["weight"]) // site.taps


def _sampling(site: Site) -> int:
    return SAMPLING + bool(site.said("modulated")) if site.layer.kind == "deform_conv" else 0


def _deform(site: Site) -> tuple[Reason, ...]:
    if site.unbatched:
        return (_unbatched(site),)
    points = site.y[0] * prod(site.y[2:]) * site.taps
    words = f"adds {_sampling(site)} per tap and position for sampling, whatever the channels"
    return (Reason(points * _sampling(site), words), bias(site))


def _linear(site: Site) -> tuple[Reason, ...]:
    return (bias(site),)


def _norm(site: Site) -> tuple[Reason, ...]:
    """1 per element; 2 when the module has an `affine` that is set, which layer norm does not have."""
    times = 2 if site.module != "LayerNorm" and site.said("affine") else 1
    return (Reason(times * prod(site.x), f"counts {times} per element of a normalisation"),)


def _pool(site: Site) -> tuple[Reason, ...]:
    return (
        Reason(prod(site.x), "counts one per input of a pool"),
        Reason(prod(site.x), AGAIN, whole=True),
    )


def _activation(site: Site) -> tuple[Reason, ...]:
    return (Reason(prod(site.y), MODULE), Reason(prod(site.x), AGAIN, whole=True))


def _upsample(site: Site) -> tuple[Reason, ...]:
    """The hook takes the first image for the whole output; the function knows the batch."""
    area = prod(site.x) if site.said("mode") == "area" else 0
    return (
        Reason(prod(site.y[1:]), "counts one per output of an upsampling, of the first image"),
        Reason(_interpolated(site), AGAIN, whole=True),
        Reason(area, "wraps the adaptive pool that the area mode is: one per input", whole=True),
    )


def _interpolated(site: Site) -> int:
    """Outputs by the size; by the scale, inputs times its power."""
    size: tuple[int, ...] | None = site.said("size")
    scales: tuple[float, ...] = site.said("scale_factor") or ()
    if size is not None:
        return prod(site.x[:2]) * prod(size)
    if len(set(scales)) == 1:
        return int(prod(site.x) * scales[0] ** len(scales))
    return prod(site.x) * prod(map(int, scales))


def _attention(site: Site) -> tuple[Reason, ...]:
    """Projections as squares of the three widths, Q's scaling, the softmax, three biases and always a fourth."""
    layer = site.layer
    if not isinstance(layer, MultiheadAttention) or len(site.x) != 3:
        raise Stops("it takes attention with a batch axis only")
    query, key, value = site.inputs if len(site.inputs) == 3 else site.inputs * 3
    along = 1 if layer.batch_first else 0
    images, width, heads = query[1 - along], query[2], layer.num_heads
    q, k = query[along], key[along]
    projected = q * width**2 + k * key[2] ** 2 + k * value[2] ** 2 + q * value[2] ** 2
    weighed = heads * q * k * (width // heads + value[2] // heads)
    biases = ((q + 2 * k) * width if layer.bias else 0) + q * value[2]
    return (
        Reason(
            images * (projected + weighed) - site.counts.macs,
            "takes the projections for squares of the key's and the value's width",
        ),
        Reason(images * biases, "adds the biases of the projections, the last of them always"),
        Reason(images * q * width, "adds the scaling of Q"),
        Reason(images * heads * q * k, "adds one per weight for the softmax"),
    )


def _matmul(site: Site) -> tuple[Reason, ...]:
    return (broadcast(site),)


def _undivided(site: Site) -> int:
    """torch.matmul is a wrapped function."""
    return first_by_last(site) if site.module == "torch.matmul" else 0


RULES: dict[str, Rule] = {
    **alike("Conv*d ConvTranspose*d", _conv),
    **alike("DeformConv*d", _deform),
    "Linear": _linear,
    **alike("BatchNorm*d InstanceNorm*d GroupNorm LayerNorm", _norm),
    **alike("MaxPool*d AvgPool*d AdaptiveMaxPool*d AdaptiveAvgPool*d", _pool),
    **alike("ReLU PReLU ELU GELU", _activation),
    **alike("LeakyReLU ReLU6", per_output(1, MODULE)),
    **alike("SiLU Softmax Softmax2d", per_input(1, FUNCTION, whole=True)),
    "Upsample": _upsample,
    "MultiheadAttention": _attention,
    "torch.matmul": _matmul,
}
TOOL = Tool(
    name="ptflops",
    package="ptflops",
    version="0.7.5",
    call="ptflops.get_model_complexity_info(model, shape, backend='pytorch')",
    source="its documentation and its answers",
    rules=RULES,
    otherwise=nothing,
    mean_over="length",
    undivided=_undivided,
)
