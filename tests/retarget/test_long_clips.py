"""Clips solved in windows: the bits of the whole, whatever the window's length."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import LinAlgError, solveh_banded
from threadpoolctl import threadpool_limits

from mimic_base.stretches import stretches
from mimic_base.surface import FLAT, Slope, Surface
from motions.human.demo import generate
from retarget import retarget
from retarget.solvers.whole_clip.banded import TimeCoupling
from retarget.solvers.whole_clip.factor import WindowedSystem
from retarget.solvers.whole_clip.marks import Marks, SparseMarks
from robots import Robot


def random_system(
    frames: int, dofs: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, TimeCoupling]:
    """Blocks [T, n, n] with ``[t, b, a]`` for a <= b, gradient [T, n] and coupling of a clip."""
    rng = np.random.default_rng(seed)
    blocks = np.tril(rng.normal(size=(frames, dofs, dofs))).astype(np.float32)
    gradient = rng.normal(size=(frames, dofs))
    coupling = TimeCoupling.empty(frames, dofs)
    coupling.accelerations(rng.normal(size=(frames - 1, dofs)), rng.uniform(1, 2, dofs))
    coupling.own += 4.0 * dofs
    return blocks, gradient, coupling


def lapack(
    blocks: np.ndarray, gradient: np.ndarray, coupling: TimeCoupling, dtype: type[np.floating]
) -> np.ndarray:
    """The step [T, n] by LAPACK, the matrix in one piece and put together without our own code."""
    frames, n = gradient.shape
    band = np.zeros((2 * n + 1, frames * n), dtype)
    for t in range(frames):
        for b in range(n):
            column = t * n + b
            band[2 * n - b : 2 * n + 1, column] = blocks[t, b, : b + 1]
            band[2 * n, column] += coupling.own[t, b]
            if t > 0:
                band[n, column] = coupling.next[t - 1, b]
            if t > 1:
                band[0, column] = coupling.after[t - 2, b]
    right = -(gradient + coupling.gradient).ravel()
    return solveh_banded(band, right.astype(dtype)).reshape(frames, n)


class Filler:
    """Fills windows of a system, and notes which."""

    def __init__(self, system: tuple[np.ndarray, np.ndarray, TimeCoupling], size: int) -> None:
        self.blocks, self.gradient, self.coupling = system
        self.windows = list(stretches(len(self.blocks), size))
        self.filled: list[int] = []

    def __call__(self, k: int, blocks: np.ndarray, gradient: np.ndarray) -> TimeCoupling:
        window = self.windows[k]
        self.filled.append(k)
        blocks[...] = self.blocks[window]
        gradient[...] = self.gradient[window]
        begin, all_of = max(window.start - 2, 0), self.coupling
        part = TimeCoupling(
            all_of.own[begin:], all_of.next[begin:], all_of.after[begin:], all_of.gradient[begin:]
        )
        return part.first(window.stop - begin)


@pytest.mark.parametrize("memory", [0.0, 1e6, 1e9])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("dofs", [35, 25])
def test_a_system_in_windows_has_the_bits_of_lapacks_whole(
    dofs: int, dtype: type[np.floating], memory: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """35 coordinates are factorised in blocks of columns, 25 column by column."""
    system = random_system(300, dofs)
    monkeypatch.setattr(WindowedSystem, "memory", memory)
    with threadpool_limits(1, user_api="blas"):
        whole = lapack(*system, dtype)
        for size in (7, 64, 299, 300):
            fill, told = Filler(system, size), []
            made = WindowedSystem(fill.windows, dofs, dtype)
            step = made.solve(fill, lambda k, found, again, told=told: told.append((k, again)))
            np.testing.assert_array_equal(step, whole)
            count = len(fill.windows)
            assert [k for k, _ in told] == list(range(count))[::-1]
            # Without room for factors all but the last are made again on the way back.
            again = sum(again for _, again in told)
            assert len(fill.filled) == count + again
            assert memory == 1e6 or again == (0 if memory == 1e9 else count - 1)


def test_a_system_that_is_not_positive_definite_is_refused() -> None:
    system = random_system(40, 25)
    system[2].own[30] -= 1e3
    fill = Filler(system, 20)
    with pytest.raises(LinAlgError):
        WindowedSystem(fill.windows, 25, np.float64).solve(fill, lambda *_: None)


def test_sparse_marks_are_the_dense_ones() -> None:
    rng = np.random.default_rng(3)
    dense, sparse = Marks(50, 21), SparseMarks(50, 21)
    for size in (20, 7, 33):
        frames = np.sort(rng.choice(50, size, replace=False))
        marked = rng.integers(1, 4, (size, 21)).astype(np.uint8) * (rng.random((size, 21)) < 0.1)
        found = []
        for marks in (dense, sparse):
            array, rows = marks.take(frames)
            found.append(array[rows].copy())
            array[rows] = marked
            marks.keep(frames)
        np.testing.assert_array_equal(*found)
    everything = np.arange(50)
    array, rows = sparse.take(everything)
    np.testing.assert_array_equal(array[rows], dense.touching)


@pytest.mark.parametrize(
    "ground, windows", [(FLAT, (64, 130, 300)), (Slope(along_x=0.1), (64,))], ids=["flat", "slope"]
)
def test_windows_of_any_length_give_the_same_bits(
    g1: Robot, ground: Surface, windows: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = generate("walk").crop(0, 400 if ground is FLAT else 160)
    whole = retarget(clip, g1, ground=ground)
    monkeypatch.setattr(WindowedSystem, "memory", 2e6)
    for window in windows:
        made = retarget(clip, g1, window=window, ground=ground)
        for name, values in whole.frame_fields().items():
            np.testing.assert_array_equal(getattr(made, name), values, err_msg=f"{window} {name}")
        np.testing.assert_array_equal(made.contact, whole.contact)
        assert made.quality == whole.quality


def test_progress_counts_solved_frames_and_ends_whole(g1: Robot) -> None:
    told: list[tuple[int, int]] = []
    retarget(generate("walk").crop(0, 300), g1, window=128, progress=lambda *at: told.append(at))
    done = [each for each, _ in told]
    assert done == sorted(done) and all(each <= total for each, total in told)
    # Two windows and more in a step of stage 2 are told one by one.
    assert max(np.diff(done)) <= 128
    assert told[-1][0] == told[-1][1] >= 300
