"""im2col: the cells that a kernel touches copied side by side, so that the convolution is one product of matrices.

All columns at once would take C*T numbers for every position, nine times the input for a 3x3 kernel. They are written
block by block into one small buffer instead, which stays in the cache: copying them is then 3 to 15 % of the time.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from convcli.kernels.products import product
from convcli.kernels.shares import shared, threads
from convcli.kernels.windows import Box, blocks, copied, last, padded, runs, windows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from convcli.kernels.arguments import Array, Call

COLUMN_BYTES = 2**20  # what a block of columns may take: half of a common second-level cache
SMALL = 2**15  # numbers in the columns of a layer that is worked out at once
HELD_BYTES = 7 * 2**18  # what a dense layer may hold besides its padded input: 1.75 MiB
POSITIONS = 192  # positions that fill a product


def im2col(call: Call) -> Array:
    """weight (O, C*T) @ columns (C*T, P), a product per sample and group; block by block where the columns are many."""
    if not small(call):
        return blocked(call)
    weight = call.weight.reshape(call.groups, len(call.weight) // call.groups, prod(call.weight.shape[1:]))
    return (weight @ columns(call)).reshape(len(call.x), len(call.weight), *call.out)


def columns(call: Call) -> Array:
    """(N, groups, C/groups*T, P): for every position the cells that the kernel touches, copied."""
    view = windows(padded(call), call.axes, call.out)
    return view.reshape(len(view), call.groups, prod(call.weight.shape[1:]), prod(call.out))


def small(call: Call) -> bool:
    """Whether all columns at once, and the weight, are so few that calls to numpy take longer than what they do."""
    numbers = len(call.x) * call.groups * prod(call.weight.shape[1:]) * prod(call.out)
    return max(numbers, call.weight.size) <= SMALL


def blocked(call: Call) -> Array:
    """One product per block of positions: weight (O, C*T) @ columns (C*T, positions), in one bounded buffer.

    Of many groups a few at a time; of many channels some at a time, whose products are added up.
    """
    outs, channels, taps = len(call.weight) // call.groups, call.weight.shape[1], prod(call.kernel)
    counts, positions = (len(call.x), *call.out), prod(call.out)
    size = block_size(call)
    weight = call.weight.reshape(call.groups, outs, channels * taps)
    view = np.moveaxis(windows(padded(call), call.axes, call.out), 0, 1 + len(call.axes))  # (C, *kernel, N, *out)
    view = view.reshape(call.groups, channels, *view.shape[1:])
    y = np.empty((counts[0], call.groups, outs, positions), view.dtype)

    def some(pieces: Iterable[tuple[int, Box, slice]]) -> None:
        """Into y, with buffers of this thread."""
        buffer = np.empty(size.groups * size.channels * taps * min(size.positions, prod(counts)), view.dtype)
        room = np.empty(size.outs * size.positions if size.channels < channels else 0, view.dtype)
        for done, box, group in pieces:
            count = prod(run.stop - run.start for run in box)
            n, first = divmod(done, positions)
            if first + count <= positions:  # straight into y: a new array and a copy are a tenth of a 3x3 layer's time
                part = y[n, group, :, first : first + count]
            else:  # whole samples
                part = np.empty((len(weight[group]), outs, count), y.dtype)
            for channel in runs(channels, size.channels):
                cells = view[group, channel][last(*box)]
                block = buffer[: cells.size].reshape(cells.shape)
                copied(cells, block)
                rows = block.reshape(len(part), cells.shape[1] * taps, count)
                chosen = weight[group, :, channel.start * taps : channel.stop * taps]
                if channel.start:
                    add_product(part, chosen, rows, room)
                else:
                    product(chosen, rows, part)
            if first + count > positions:
                y[box[0], group] = np.moveaxis(part.reshape(len(part), outs, count // positions, positions), 2, 0)
            del part  # before the next one is made: two of them are more than the layer may hold

    shared(some, pieces(counts, size, call.groups))
    return y.reshape(counts[0], call.groups * outs, *call.out)


def pieces(counts: tuple[int, ...], size: BlockSize, groups: int) -> Iterator[tuple[int, Box, slice]]:
    """(the positions before it, a box of positions, some groups): what one product is for, or a sum of them."""
    done = 0
    for box in blocks(counts, size.positions):
        for group in runs(groups, size.groups):
            yield done, box, group
        done += prod(run.stop - run.start for run in box)


def add_product(part: Array, weight: Array, rows: Array, room: Array) -> None:
    """part (g, O, P) += weight (g, O, K) @ rows (g, K, P), as many outputs at a time as there is room for."""
    for outs in runs(part.shape[1], room.size // part.shape[2]):
        into = part[:, outs]
        into += np.matmul(weight[:, outs], rows, out=room[: into.size].reshape(into.shape))


class BlockSize(NamedTuple):
    """How much of a layer one product takes; channels and outs are those of a group."""

    positions: int
    groups: int
    channels: int
    outs: int


def block_size(call: Call) -> BlockSize:
    """All channels of a few groups where HELD_BYTES let the positions fill a product; else some channels of one group.

    Fewer positions read the weight once more for every block: with POSITIONS that is a small part of the product.
    What a dense layer may hold is for all its threads together.
    """
    outs, (channels, *kernel) = max(1, len(call.weight) // call.groups), call.weight.shape[1:]
    every, taps, several = len(call.x) * prod(call.out), prod(kernel), threads() if call.groups == 1 else 1
    held = HELD_BYTES // several // call.x.itemsize
    rows, columns, fill = max(1, channels * taps), min(held, COLUMN_BYTES // call.x.itemsize), POSITIONS // several
    fill = max(1, min(every, fill + -fill % min(fill, call.out[-1])))
    if rows * fill <= held:
        groups = max(1, min(call.groups, columns // (rows * fill)))
        groups = -(-call.groups // -(-call.groups // groups))
        most = max(min(2 * POSITIONS, held // (rows * groups)), columns // (rows * groups))
        if most > prod(call.out) and len(call.x) > 1:  # samples in a block: their product is held, too
            most = max(prod(call.out), min(most, held // (groups * (rows + outs))))
        return BlockSize(even(call, most, several), groups, max(1, channels), outs)
    samples = prod(call.out) < min(every, 4 * POSITIONS)  # several in a block: their product is held, too
    most = max(1, min(4 * POSITIONS, held // (3 * outs) if samples else held, held // (3 * taps)))
    most = even(call, most, several)
    room = held // (6 if samples else 3) // most
    return BlockSize(most, 1, max(1, held // 2 // (taps * most)), max(1, min(outs, room // 32 * 32 or room)))


def even(call: Call, most: int, several: int) -> int:
    """At most `most` positions, so that as few blocks of them are about equal: a short last one is slow.

    As many for each of several threads, unless there are too few to fill a product.
    """
    every = max(1, len(call.x) * prod(call.out))
    count = -(-every // most)
    if every >= several * POSITIONS // 2:
        count += -count % several
    share = -(-every // count)
    return min(most, share + -share % call.out[-1])
