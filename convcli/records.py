"""What the calculator reports, as data: the JSON of `shape`, `params`, `flops` and `summary` is these records.

Keys are only ever added within a schema number. UNSET fields do not appear.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from convcli._version import __version__
from convcli.field import NOTHING
from convcli.layers import Counts, Field, Layer, Part, Shape
from convcli.plan import Network, Plan, Step, plan, steps

if TYPE_CHECKING:
    from fractions import Fraction

SCHEMA = 1
BYTES = {"float64": 8, "float32": 4, "tf32": 4, "bfloat16": 2, "float16": 2, "int8": 1}
COUNTED = tuple(name for name in Counts.__struct_fields__ if name != "sums")
Command = Literal["shape", "params", "flops", "summary"]
PART_TYPES = {"fully_connected": "Linear", "deform_roi_pool": "DeformRoIPool"}
RANKED_TYPES = {"conv": "Conv", "conv_transpose": "ConvTranspose", "deform_conv": "DeformConv"}
FLOPS_WORDS = {"dense": "2*macs", "strict": "2*terms - 1 + bias, per output"}


class Convention(msgspec.Struct, frozen=True):
    """What the numbers mean, named in every report. params: whose they are, of a report like another tool's."""

    macs: str = "dense"
    flops: str = "2*macs"
    params: str | UnsetType = UNSET


class ReceptiveField(msgspec.Struct, frozen=True):
    """Per axis, in input cells: size, jump, and the centre of the first field (a cell's centre lies at .5)."""

    size: tuple[int | float, ...]
    jump: tuple[int | float, ...]
    start: tuple[int | float, ...]


class Memory(msgspec.Struct, frozen=True):
    """Bytes of the inputs (a deformable layer's offset and mask among them), the output and the weights."""

    input_bytes: int | UnsetType = UNSET
    output_bytes: int | UnsetType = UNSET
    weight_bytes: int | UnsetType = UNSET
    activation_bytes: int | UnsetType = UNSET


class Backward(msgspec.Struct, frozen=True):
    """What the gradients cost: one forward each for the input and the weight, and the bias adds."""

    grad_input_macs: int
    grad_weight_macs: int
    grad_bias_adds: int
    macs: int
    flops: int


class LayerRecord(msgspec.Struct, frozen=True):
    """One layer, or one part of a composite. shares: the layer that these parameters are counted at.

    complete: false where nobody knows what the layer costs.
    """

    name: str
    type: str
    line: int | UnsetType = UNSET
    from_: tuple[str, ...] | UnsetType = msgspec.field(name="from", default=UNSET)
    shares: str | UnsetType = UNSET
    input: Shape | UnsetType = UNSET
    output: Shape | UnsetType = UNSET
    params: int | UnsetType = UNSET
    tensors: dict[str, Shape] | UnsetType = UNSET
    macs: int | UnsetType = UNSET
    macs_nonpad: int | UnsetType = UNSET
    macs_kept: int | UnsetType = UNSET
    macs_zero_insert: int | UnsetType = UNSET
    interpolation_macs: int | UnsetType = UNSET
    modulation_macs: int | UnsetType = UNSET
    coordinate_flops: int | UnsetType = UNSET
    elementwise_flops: int | UnsetType = UNSET
    bias_adds: int | UnsetType = UNSET
    flops: int | UnsetType = UNSET
    backward: Backward | UnsetType = UNSET
    receptive_field: ReceptiveField | UnsetType = UNSET
    memory: Memory | UnsetType = UNSET
    arithmetic_intensity: float | UnsetType = UNSET
    parts: tuple[LayerRecord, ...] | UnsetType = UNSET
    complete: bool | UnsetType = UNSET


class Totals(msgspec.Struct, frozen=True):
    """The sums over a network's layers; `activation_bytes` is what all outputs take together."""

    params: int | UnsetType = UNSET
    macs: int | UnsetType = UNSET
    macs_nonpad: int | UnsetType = UNSET
    bias_adds: int | UnsetType = UNSET
    elementwise_flops: int | UnsetType = UNSET
    flops: int | UnsetType = UNSET
    backward: Backward | UnsetType = UNSET
    memory: Memory | UnsetType = UNSET
    output: Shape | UnsetType = UNSET
    complete: bool = True


class NetworkRecord(msgspec.Struct, frozen=True):
    """One spec."""

    source: str
    name: str
    input: Shape | None
    layers: tuple[LayerRecord, ...]
    totals: Totals
    input_layout: str | UnsetType = UNSET


class Report(msgspec.Struct, frozen=True):
    """The whole answer of one command."""

    schema: int
    convcli: str
    command: str
    convention: Convention
    dtype: str
    reports: tuple[NetworkRecord, ...]


class Scope(msgspec.Struct, frozen=True):
    """What to work out: the command's share of the numbers, the FLOPs convention, the data type of the bytes.

    like: the calculator whose numbers to give in place of ours.
    """

    command: Command = "summary"
    convention: str = "dense"
    dtype: str = "float32"
    backward: bool = False
    like: str = ""

    @property
    def shape(self) -> bool:
        """Shapes and receptive fields are asked for."""
        return self.command in {"shape", "summary"}

    @property
    def params(self) -> bool:
        """Parameters and their bytes are asked for."""
        return self.command in {"params", "summary"}

    @property
    def flops(self) -> bool:
        """Products, sums and traffic are asked for."""
        return self.command in {"flops", "summary"}


def summarize(
    *networks: Network,
    command: Command = "summary",
    convention: str = "dense",
    dtype: str = "float32",
    backward: bool = False,
    like: str = "",
) -> Report:
    """The report of one or more networks: the numbers of `command` for every layer, and in all.

    convention: how FLOPs are counted, "dense" (2 * macs) or "strict" (2*terms - 1 + bias per output).
    dtype: what the bytes are counted for. backward: the gradients' cost too. like: the MACs, FLOPs and parameters that
    another calculator would say: torchinfo, fvcore, thop, ptflops, torch or torchvision.
    Raises SpecError with all that is wrong in the networks.
    """
    scope = Scope(command, convention, dtype, backward, like)
    return report_of((record_of(network, scope) for network in networks), scope)


def report_of(records: Iterable[NetworkRecord], scope: Scope) -> Report:
    """The report that holds `records`."""
    convention = Convention(flops=FLOPS_WORDS[scope.convention])
    if scope.like:
        from convcli.conventions.likeness import words

        convention = Convention(**words(scope))
    return Report(SCHEMA, __version__, scope.command, convention, scope.dtype, tuple(records))


def record_of(network: Network, scope: Scope, *, strict: bool = False) -> NetworkRecord:
    """A network's numbers. Raises SpecError with all that is wrong; strict: layers whose cost nobody knows are, too.

    Each step is dropped as soon as its record is made: a big spec's would fill the memory, and the processor's caches.
    """
    if scope.like:
        return network_record(plan(network, strict=strict), scope)
    return _network_record(network, steps(network, strict=strict), scope)


def network_record(planned: Plan, scope: Scope) -> NetworkRecord:
    """One planned network's numbers."""
    record = _network_record(planned.network, planned.steps, scope)
    if scope.like and scope.command != "shape":
        from convcli.conventions.likeness import relabelled  # hardly ever asked for

        return relabelled(planned, record, scope)
    return record


def _network_record(network: Network, steps: Iterable[Step], scope: Scope) -> NetworkRecord:
    layers, last = [], None
    for last in steps:
        layers.append(step_record(last, scope))
    return NetworkRecord(
        network.source,
        network.name,
        network.input,
        tuple(layers),
        _totals(last, layers, scope),
        "channels_last" if network.channels_last else UNSET,
    )


def step_record(step: Step, scope: Scope) -> LayerRecord:
    """One layer's numbers, in the layout of its spec."""
    layer, shapes, parts = step.layer, scope.command != "params", step.layer.parts(step.x)
    record = LayerRecord(
        name=step.name,
        type=step.type,
        line=UNSET if step.line is None else step.line,
        from_=UNSET if step.sources is None else step.sources,
        shares=step.shares or UNSET,
        input=step.shown(step.x) if shapes and layer.arity[1] else UNSET,
        output=step.shown(step.y) if shapes else UNSET,
        receptive_field=receptive_field(step.field) if scope.shape else UNSET,
        parts=tuple([_part_record(part, _part_of(step, part), scope) for part in parts]) if parts else (),
        complete=UNSET if layer.known else False,
    )
    return _weighed(record, layer, step.x, step.y, step, scope)


def _part_record(part: Part, step: Step, scope: Scope) -> LayerRecord:
    """The numbers of a part of a composite."""
    y, shapes = part.layer.output(part.x), scope.command != "params"
    record = LayerRecord(
        name=part.name,
        type=part_type(part.layer),
        input=step.shown(part.x) if shapes else UNSET,
        output=step.shown(y) if shapes else UNSET,
        parts=(),
    )
    return _weighed(record, part.layer, part.x, y, step, scope)


def _weighed(record: LayerRecord, layer: Layer, x: Shape, y: Shape, step: Step, scope: Scope) -> LayerRecord:
    """The record with its numbers, if the command has any."""
    if scope.command == "shape":
        return record
    return msgspec.structs.replace(record, **_numbers(layer, x, y, step, scope))


def _part_of(step: Step, part: Part) -> Step:
    """The step, with the part's own batch where it has one."""
    return step if part.batch is None else msgspec.structs.replace(step, batch=part.batch)


def _numbers(layer: Layer, x: Shape, y: Shape, step: Step, scope: Scope) -> dict[str, Any]:
    """The fields that hold parameters, products and bytes, as far as the command asks for them and anybody knows."""
    tensors = {} if step.shares else layer.tensors(x)
    params = sum(map(prod, tensors.values()))
    memory = _memory(layer, x, y, params, step.images, scope)
    numbers: dict[str, Any] = {"memory": memory}
    if scope.params:
        numbers |= {"params": params, "tensors": tensors}
    if scope.flops and layer.known:
        counts = layer.counts(x, step.images)
        flops = counts.flops(scope.convention)
        numbers |= {name: value for name in COUNTED if (value := getattr(counts, name)) is not None}
        numbers |= {"flops": flops, "arithmetic_intensity": _intensity(flops, memory)}
        if scope.backward:
            numbers["backward"] = _backward(counts)
    return numbers


def part_type(layer: Layer) -> str:
    """A part's type as one would write it in a spec: Conv2d, DeformConv2d."""
    return PART_TYPES.get(layer.kind) or f"{RANKED_TYPES[layer.kind]}{len(layer.axes)}d"


def _memory(layer: Layer, x: Shape, y: Shape, params: int, images: int, scope: Scope) -> Memory:
    size = BYTES[scope.dtype]
    if scope.command == "params":
        return Memory(weight_bytes=params * size)
    elements = prod(x) + sum(map(prod, layer.side_inputs(x).values()))
    return Memory(images * elements * size, images * prod(y) * size, params * size)


def _intensity(flops: int, memory: Memory) -> float | UnsetType:
    """FLOPs per byte moved, each tensor read or written once."""
    moved = sum(value for value in (memory.input_bytes, memory.output_bytes, memory.weight_bytes) if value is not UNSET)
    return round(flops / moved, 3) if moved else UNSET


def _backward(counts: Counts) -> Backward:
    macs = 2 * counts.macs
    return Backward(counts.macs, counts.macs, counts.bias_adds, macs, 2 * macs)


@lru_cache(4096)  # layers that have an input of their own repeat few fields
def receptive_field(field: Field | None) -> ReceptiveField | UnsetType:
    """A receptive field in the numbers of a report; UNSET where nobody can tell, or nothing reaches."""
    if not field or field == NOTHING or any(reach.merged for reach in field):
        return UNSET
    return ReceptiveField(
        tuple([_number(reach.size) for reach in field]),
        tuple([_number(reach.jump) for reach in field]),
        tuple([_number(reach.twice_start, 2) for reach in field]),
    )


def _number(value: int | Fraction, divisor: int = 1) -> int | float:
    """A whole number as an int, any other as a float; a number that no float can hold rounds down."""
    if divisor == 1 and isinstance(value, int):
        return value
    if value % divisor == 0 or value > 2**1000 or value < -(2**1000):
        return int(value // divisor)
    return float(value / divisor)


def _totals(last: Step | None, layers: Sequence[LayerRecord], scope: Scope) -> Totals:
    elementwise = [layer.elementwise_flops for layer in layers if layer.elementwise_flops is not UNSET]
    memory: Memory | UnsetType = UNSET
    if scope.command != "shape":
        weights = sum(m.weight_bytes for m in _memories(layers) if m.weight_bytes is not UNSET)
        outputs = sum(m.output_bytes for m in _memories(layers) if m.output_bytes is not UNSET)
        memory = Memory(weight_bytes=weights, activation_bytes=outputs if scope.flops else UNSET)
    return Totals(
        params=_sum(layer.params for layer in layers) if scope.params else UNSET,
        macs=_sum(layer.macs for layer in layers) if scope.flops else UNSET,
        macs_nonpad=_sum(layer.macs_nonpad for layer in layers) if scope.flops else UNSET,
        bias_adds=_sum(layer.bias_adds for layer in layers) if scope.flops else UNSET,
        elementwise_flops=_sum(elementwise) if elementwise else UNSET,
        flops=_sum(layer.flops for layer in layers) if scope.flops else UNSET,
        backward=_total_backward(layers) if scope.flops and scope.backward else UNSET,
        memory=memory,
        output=last.shown(last.y) if last and scope.command != "params" else UNSET,
        complete=scope.command == "shape" or all(layer.complete is UNSET for layer in layers),
    )


def _memories(layers: Sequence[LayerRecord]) -> list[Memory]:
    return [layer.memory for layer in layers if layer.memory is not UNSET]


def _sum(values: Iterable[int | UnsetType]) -> int:
    return sum(value for value in values if value is not UNSET)


def _total_backward(layers: Sequence[LayerRecord]) -> Backward:
    costs = [layer.backward for layer in layers if layer.backward is not UNSET]
    return Backward(*(sum(getattr(cost, name) for cost in costs) for name in Backward.__struct_fields__))
