"""Laws of pieces on threads: each is done once, errors come out, BLAS gets its threads back, results do not change."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from kernel_cases import integers

from convcli import kernels
from convcli.kernels import shares
from convcli.kernels.shares import Blas, shared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from convcli.kernels.arguments import Array


class Told:
    """A BLAS of so many threads, which does as it is told."""

    def __init__(self, count: int):
        self.count, self.blas = count, Blas(lambda: self.count, self.put, count)

    def put(self, count: int) -> None:
        """From now on."""
        self.count = count


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch) -> Told:
    """Three threads, on any machine."""
    told = Told(3)
    monkeypatch.setattr(shares, "_blas", lambda: told.blas)
    return told


def layers() -> list[tuple[Callable[..., Any], list[Array], dict[str, Any]]]:
    """One for every form that has pieces; small whole numbers, of which every sum is exact."""

    def drawn(*shapes: tuple[int, ...]) -> list[Array]:
        return [integers(shape, np.float32) for shape in shapes]

    conv, back, transpose = kernels.conv, kernels.conv_backward, kernels.conv_transpose
    return [
        (conv, drawn((1, 64, 40, 40), (64, 64, 3, 3)), {"padding": 1}),
        (conv, drawn((3, 256, 14, 14), (64, 256, 3, 3)), {"padding": 1}),
        (conv, drawn((1, 64, 40, 40), (64, 4, 3, 3)), {"padding": 1, "groups": 16}),
        (conv, drawn((1, 96, 28, 28), (96, 1, 7, 7)), {"padding": 3, "groups": 96}),
        (conv, drawn((2, 192, 12, 12), (192, 1, 3, 3)), {"padding": 1, "groups": 192}),
        (conv, drawn((1, 3, 120, 120), (24, 3, 3, 3)), {"padding": 1}),
        (conv, drawn((1, 512, 7, 7), (2048, 512, 1, 1)), {}),
        (transpose, drawn((1, 128, 16, 16), (128, 64, 4, 4)), {"stride": 2, "padding": 1}),
        (transpose, drawn((1, 64, 40, 40), (64, 32, 2, 2)), {"stride": 2}),
        (back, drawn((1, 64, 28, 28), (1, 64, 28, 28), (64, 1, 3, 3)), {"padding": 1, "groups": 64}),
        (back, drawn((1, 64, 28, 28), (1, 64, 28, 28), (64, 64, 3, 3)), {"padding": 1}),
    ]


@pytest.mark.parametrize("place", range(len(layers())))
def test_the_number_of_threads_changes_nothing(place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    function, arrays, keywords = layers()[place]
    found = []
    for count in (1, 3):
        told = Told(count)
        monkeypatch.setattr(shares, "_blas", lambda told=told: told.blas)
        y = function(*arrays, **keywords)
        found.append(y if isinstance(y, tuple) else (y,))
        assert told.count == count
    for one, three in zip(*found, strict=True):
        np.testing.assert_array_equal(one, three)


def test_every_piece_is_done_once_and_by_several(three: Told) -> None:
    done: list[int] = []
    met, threads = threading.Barrier(3, timeout=20), set()

    def work(pieces: Iterator[int]) -> None:
        for piece in pieces:
            if piece < 3:
                met.wait()  # for all three: none of them can be the work of one thread alone
            done.append(piece)
            threads.add(threading.get_ident())
            assert three.count == 1  # BLAS works where it is called

    shared(work, range(50))
    assert sorted(done) == list(range(50))
    assert len(threads) == 3
    assert three.count == 3


@pytest.mark.parametrize("here", [True, False])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_ends_it(three: Told, error: type[BaseException], here: bool) -> None:
    """In the caller's thread or another: nobody begins another piece, and BLAS has its threads again."""
    caller, done = threading.get_ident(), []
    met = threading.Barrier(3, timeout=20)

    def work(pieces: Iterator[int]) -> None:
        for piece in pieces:
            if piece < 3:
                met.wait()
                if (threading.get_ident() == caller) is here:
                    raise error("a piece")
            done.append(piece)

    with pytest.raises(error):
        shared(work, range(1000))
    assert three.count == 3
    shared(done.extend, range(1000, 1010))
    assert set(done) >= set(range(1000, 1010))


def test_a_call_within_another_stays_on_its_thread(three: Told) -> None:
    seen: list[tuple[int, int]] = []

    def inner(pieces: Iterator[int]) -> None:
        seen.extend((threading.get_ident(), piece) for piece in pieces)

    def outer(pieces: Iterator[int]) -> None:
        for _ in pieces:
            before = len(seen)
            shared(inner, range(4))
            assert [piece for thread, piece in seen[before:] if thread == threading.get_ident()][:4] == [0, 1, 2, 3]

    with shares.alone():
        outer(iter(range(2)))
    assert {thread for thread, _ in seen} == {threading.get_ident()}
    assert three.count == 3


def test_small_layers_and_one_thread_start_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: int) -> ThreadPoolExecutor:
        raise AssertionError("a thread was asked for")

    monkeypatch.setattr(shares, "_pool", none)
    small = integers((1, 4, 9, 9), np.float32)
    for count, x in ((3, small), (1, integers((1, 64, 40, 40), np.float32))):
        told = Told(count)
        monkeypatch.setattr(shares, "_blas", lambda told=told: told.blas)
        channels = x.shape[1]
        for groups in (1, channels):
            weight = integers((channels, channels // groups, 3, 3), np.float32)
            y = kernels.conv(x, weight, padding=1, groups=groups)
            kernels.conv_backward(y, x, weight, padding=1, groups=groups)
            kernels.conv_transpose(x, weight, groups=groups)


@pytest.mark.usefixtures("three")
def test_calls_beside_one_another_get_what_they_get_alone() -> None:
    calls = layers()[:6]
    alone = [function(*arrays, **keywords) for function, arrays, keywords in calls]
    with ThreadPoolExecutor(4) as users:
        beside = [users.submit(f, *arrays, **keywords) for _ in range(3) for f, arrays, keywords in calls]
        for y, future in zip(alone * 3, beside, strict=True):
            np.testing.assert_array_equal(y, future.result(timeout=60))


FORKED = """
import os
import numpy as np
from convcli import kernels
from convcli.kernels import shares
shares._blas = lambda blas=shares.Blas(lambda: 2, lambda _: None, 2): blas
x, weight = np.ones((1, 64, 40, 40), np.float32), np.ones((64, 64, 3, 3), np.float32)
y = kernels.conv(x, weight)
child = os.fork()
if not child:
    os._exit(0 if (kernels.conv(x, weight) == y).all() else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="no fork here")
def test_a_fork_has_threads_of_its_own() -> None:
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", FORKED], timeout=60, check=False).returncode == 0
