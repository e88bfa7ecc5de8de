"""Transposed layers: scattering, zero insertion with the kernel rotated, output phases; three counts of one thing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convcli.explaining.conv import POSITIONS, TAPS, landing
from convcli.explaining.counts import channel_values, share
from convcli.explaining.products import pairs_of
from convcli.explaining.sizes import axis_values
from convcli.explaining.subject import Grid, Section
from convcli.explaining.working import alike, times, working
from convcli.reach import Scatter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.axis import Axis
    from convcli.explaining.subject import Subject
    from convcli.explaining.working import Working
    from convcli.layers import ConvTranspose

MOST_CELLS, MOST_PHASES, MOST_TERMS = 8, 12, 8  # that are drawn, listed, written out


def equation(layer: ConvTranspose, channels: int) -> str:
    """y[o, 2*p + a - 1] += weight[i, o, a] * x[i, p]: what every input cell adds."""
    where, ins, outs = (
        ", ".join(POSITIONS[: len(layer.axes)]),
        channels // layer.groups,
        layer.out_channels // layer.groups,
    )
    taps = TAPS[: len(layer.axes)]
    cells = ", ".join(landing(axis, p, tap) for axis, p, tap in zip(layer.axes, POSITIONS, taps, strict=False))
    out = "o" if layer.groups == 1 else f"{outs}*floor(i / {ins}) + o"
    bounds = ", ".join(f"{tap} < {axis.kernel}" for tap, axis in zip(taps, layer.axes, strict=True))
    start = "from bias" if layer.bias else "from 0"
    sums = f"y[{out}, {cells}] += weight[i, o, {', '.join(taps)}] * x[i, {where}]"
    return f"{sums} for all i < {channels}, o < {outs}, {bounds} and {where}; it begins {start}"


def products(subject: Subject) -> Section:
    """Scattered, kept in the cropped output, and what the convolution over inserted zeros multiplies."""
    letters, values = subject.letters, channel_values(subject)
    counts = subject.layer.counts(subject.x, subject.images)
    taps, outs = times("kernel", letters), share(subject, "out_channels")
    pairs = pairs_of(subject, subject.y[1:], subject.space, "lands on the cell")
    ins = share(subject, "in_channels")
    scatter = f"batch * in_channels * {times('size', letters)} * {outs} * {taps}"
    kept = f"batch * in_channels * {outs} * {times('pairs', letters)}"
    inserted = f"batch * out_channels * {times('out', letters)} * {ins} * {taps}"
    words = (
        "macs: every input cell times the whole kernel, PyTorch's number",
        "macs_kept (macs_nonpad too): only the products that land inside the cropped output",
        "macs_zero_insert: the convolution over the input with zeros inserted, most of whose products are with zeros",
    )
    return Section(
        "MACs",
        (*words, *pairs.words),
        (
            working("macs", scatter, counts.macs, **values),
            *pairs.steps,
            working("macs_kept", kept, counts.macs_kept or 0, **values, **pairs.values),
            working("macs_zero_insert", inserted, counts.macs_zero_insert or 0, **values),
        ),
        tuple(pairs.grids),
    )


def insertion(subject: Subject) -> Section:
    """The same result by a convolution of stride 1 over the input with zeros in it."""
    axes = subject.layer.axes
    steps: list[Working] = []
    words = [
        "put stride - 1 zeros between the input's cells, pad, and convolve with stride 1",
        "and the kernel rotated by 180 degrees, its input and output channels exchanged",
    ]
    if any(min(axis.on_inserted.before, axis.on_inserted.after) < 0 for axis in axes):
        words.append("negative padding cuts cells off")
    for letters, place in alike(subject.letters, list(zip(axes, subject.space, strict=True))):
        axis, size = axes[place], subject.space[place]
        steps += _inserted(letters, axis, size, subject.y[1 + place])
        words.append(f"{letters}: {drawn(axis, size)} (. is a zero)")
        if axis.kernel <= MOST_TERMS:
            turned = [f"w{tap}" for tap in reversed(range(axis.kernel))]
            words.append(f"{letters}: the kernel {' '.join(reversed(turned))} becomes {' '.join(turned)}")
    return Section("zero insertion", tuple(words), tuple(steps))


def _inserted(letters: str, axis: Axis, size: int, out: int) -> Iterator[Working]:
    values = {**axis_values(axis), "size": size}
    inserted, wide = axis.inserted(size), axis.on_inserted
    yield working(f"inserted ({letters})", "(size - 1) * stride + 1", inserted, **values)
    yield working(f"pad_before ({letters})", "span - 1 - before", wide.before, **values)
    yield working(f"pad_after ({letters})", "span - 1 - after + output_padding", wide.after, **values)
    formula = "inserted + pad_before + pad_after - span + 1"
    told = {"inserted": inserted, "pad_before": wide.before, "pad_after": wide.after, "span": axis.span}
    yield working(f"out ({letters})", formula, out, **told)


def drawn(axis: Axis, size: int) -> str:
    """. . x0 . x1 . x2 . .: the input between its zeros; of a long one the beginning."""
    before, after = axis.on_inserted.before, axis.on_inserted.after
    shown = min(size, MOST_CELLS)
    step = min(axis.stride, MOST_CELLS)
    cells = [mark for cell in range(shown) for mark in (f"x{cell}", *["."] * (step - 1))]
    whole = [*["."] * min(max(before, 0), MOST_CELLS), *cells[: len(cells) - step + 1]]
    if shown < size:
        return " ".join([*whole, "..."])
    return " ".join([*whole, *["."] * min(max(after, 0), MOST_CELLS)])


def phases(subject: Subject) -> Iterator[Section]:
    """Which taps feed which output cells: stride ordinary convolutions on the input as it is, one per phase."""
    axes = subject.layer.axes
    grids, words = [], ["output cell stride*p + phase is a sum over the taps of its phase, and no others"]
    for letters, place in alike(subject.letters, axes):
        axis = axes[place]
        rows = [_phase(axis, phase) for phase in range(min(axis.stride, MOST_PHASES))]
        more = f" (the first {MOST_PHASES} of {axis.stride})" if axis.stride > MOST_PHASES else ""
        grids.append(Grid(f"phases along {letters}{more}", ("phase", "terms", "sum away from the ends"), tuple(rows)))
        if len({row[1] for row in rows}) > 1:
            words.append(f"{letters}: phases add up different numbers of terms, which shows as a checkerboard")
    yield Section("phases", tuple(words), (), tuple(grids))


def _phase(axis: Axis, phase: int) -> tuple[int | str, ...]:
    """(phase, the number of its taps, the sum): cell stride*p + phase receives tap t of input cell p + shift."""
    first, distance, count = Scatter(axis).run(phase)
    terms = []
    for nth in range(min(count, MOST_TERMS)):
        shift = first + nth * distance
        tap = (phase + axis.before - axis.stride * shift) // axis.dilation
        moved = f" {'+' if shift > 0 else '-'} {abs(shift)}" if shift else ""
        terms.append(f"w{tap}*x[p{moved}]")
    return phase, count, " + ".join(terms + ["..."] * (count > MOST_TERMS)) or "nothing"
