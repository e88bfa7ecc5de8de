"""The field of a cell along one axis: in closed form, cell by cell, and both against sets made by hand."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from convcli.axis import Axis
from convcli.reach import (
    MOST_TURNS,
    SAME,
    All,
    Bins,
    Link,
    Reach,
    Resized,
    Scatter,
    Window,
    full,
    members,
    progression,
)


def sources(chain: list[Axis], cell: int) -> set[int]:
    """The input cells that output cell `cell` of a chain of convolutions reads."""
    cells = {cell}
    for axis in reversed(chain):
        cells = {c * axis.stride - axis.before + t * axis.dilation for c in cells for t in range(axis.kernel)}
    return cells


CHAINS = st.lists(
    st.builds(
        Axis,
        kernel=st.integers(1, 4),
        stride=st.integers(1, 3),
        dilation=st.integers(1, 3),
        before=st.integers(0, 4),
        after=st.integers(0, 4),
    ),
    min_size=1,
    max_size=5,
)


def through(*links: Link) -> Reach:
    reach: Reach | None = Reach()
    for link in links:
        assert reach is not None
        reach = reach.through(link)
    assert reach is not None
    return reach


def windows(chain: list[Axis]) -> list[Link]:
    return [Window(axis) for axis in chain]


@given(CHAINS, st.integers(0, 5))
def test_the_field_of_a_chain_is_its_footprint(chain: list[Axis], cell: int) -> None:
    reach = through(*windows(chain))
    cells = sources(chain, cell)
    assert reach.size == max(cells) - min(cells) + 1
    assert reach.twice_start + 2 * cell * reach.jump == min(cells) + max(cells) + 1
    assert reach.jump == min(sources(chain, cell + 1)) - min(cells)


def transposed_sources(axis: Axis, cell: int) -> set[int]:
    """The cells x[p] with stride*p + dilation*t - before = cell, on an input without ends."""
    there = [cell + axis.before - t * axis.dilation for t in range(axis.kernel)]
    return {place // axis.stride for place in there if place % axis.stride == 0}


@given(CHAINS, st.builds(Axis, kernel=st.integers(1, 6), stride=st.integers(1, 4), before=st.integers(0, 3)))
def test_a_transposed_layer_divides_the_jump(chain: list[Axis], up: Axis) -> None:
    """The widest footprint of `stride` neighbours is the size; all lie around the centres that are reported."""
    before = through(*windows(chain))
    reach = through(*windows(chain), Scatter(up))
    assert reach.jump == Fraction(before.jump) / up.stride
    widest = 0
    for cell in range(2 * up.stride):
        cells = [c for middle in transposed_sources(up, cell) for c in sources(chain, middle)]
        if cells:
            widest = max(widest, max(cells) - min(cells) + 1)
            centre = Fraction(reach.twice_start) / 2 + cell * reach.jump
            ends = Fraction(before.size) / 2 + Fraction(up.span - 1, 2 * up.stride) * before.jump
            assert centre - ends <= min(cells) < max(cells) + 1 <= centre + ends
    assert reach.size == widest


@given(CHAINS)
def test_up_by_the_stride_and_down_again_restores_the_jump(chain: list[Axis]) -> None:
    assert through(*windows(chain), *map(Scatter, chain)).jump == 1


LINKS = st.one_of(
    st.builds(
        Window,
        st.builds(
            Axis,
            kernel=st.integers(1, 5),
            stride=st.integers(1, 4),
            dilation=st.integers(1, 4),
            before=st.integers(-2, 5),
            after=st.integers(-2, 5),
        ),
    ),
    st.builds(
        Scatter,
        st.builds(
            Axis,
            kernel=st.integers(1, 6),
            stride=st.integers(1, 6),
            dilation=st.integers(1, 6),
            before=st.integers(-2, 5),
            after=st.integers(-2, 5),
        ),
    ),
    st.builds(Bins, st.integers(1, 20), st.integers(1, 20)),
    st.builds(All, st.integers(1, 9)),
    st.just(SAME),
)


@given(LINKS, st.sets(st.integers(0, 30)), st.integers(1, 40))
def test_sets_go_back_as_their_cells_do(link: Link, cells: set[int], size: int) -> None:
    """`back` is the union of the cells' runs inside the input, however it is worked out."""
    runs = [link.run(cell) for cell in cells]
    read = {first + nth * distance for first, distance, count in runs for nth in range(count)}
    if link.everything:
        size = link.run(0)[2]
    asked = sum(1 << cell for cell in cells)
    assert set(members(link.back(asked, size))) == {cell for cell in read if 0 <= cell < size}


@given(LINKS, st.integers(-20, 20), st.integers(0, 3))
def test_a_link_moves_on_at_its_pace(link: Link, cell: int, times: int) -> None:
    outputs, inputs = link.pace
    first, distance, count = link.run(cell)
    moved = (first + times * inputs, distance, count)
    assert link.run(cell + times * outputs) == moved or count == 0 == link.run(cell + times * outputs)[2]


@given(st.integers(-30, 30), st.integers(1, 9), st.integers(0, 12), st.integers(0, 40))
def test_a_progression_is_its_cells(first: int, distance: int, count: int, size: int) -> None:
    cells = {first + nth * distance for nth in range(count)}
    assert set(members(progression((first, distance, count), size))) == cells & set(range(size))


def test_the_bilinear_cells_are_torchs() -> None:
    """A factor of 2 lies a quarter of a cell beside the centres; aligned corners hit both ends exactly."""
    double = Resized(5, 10, 2)
    assert [list(members(double.back(1 << cell, 5))) for cell in range(4)] == [[0], [0, 1], [0, 1], [1, 2]]
    corners = Resized(4, 8, 2, aligned=True)  # from 5 cells to 9
    assert [list(members(corners.back(1 << cell, 5))) for cell in range(4)] == [[0], [0, 1], [1], [1, 2]]


@given(CHAINS, CHAINS, st.integers(0, 9))
def test_a_union_holds_both(one: list[Axis], other: list[Axis], cell: int) -> None:
    """Where both move at the same pace; else nobody can tell."""
    fields = through(*windows(one)), through(*windows(other))
    both = fields[0].union(fields[1], 10)
    assert (both is None) == (fields[0].jump != fields[1].jump)
    if both:
        cells = sources(one, cell) | sources(other, cell)
        assert both.at(cell) == (min(cells), max(cells))


def test_everything_joined_in_is_everything() -> None:
    """Squeeze and excitation: a branch that sees the whole input holds what the other one sees."""
    pooled = Reach(length=32, place=2).through(Window(Axis(3, before=1, after=1)), 2)
    assert pooled
    whole = pooled.through(All(32))
    assert whole
    assert (whole.size, whole.jump, whole.twice_start) == (32, 0, 32)
    joined = pooled.union(whole, 32)
    assert joined
    assert (joined.ends, joined.step, joined.place) == (whole.ends, 0, 2)
    part = pooled.through(All(30))
    assert part
    assert pooled.union(part, 32) is None


def test_too_many_different_fields_are_not_told() -> None:
    assert Reach().through(Scatter(Axis(3, stride=MOST_TURNS)))
    assert Reach().through(Scatter(Axis(3, stride=MOST_TURNS + 1))) is None


def test_sets_of_cells_are_bits() -> None:
    assert full(3) == 0b111
    assert full(-1) == 0
    assert list(members(0b1010)) == [1, 3]
