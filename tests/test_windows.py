"""Moving windows agree with scipy.ndimage, which is not imported for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from mimic_base import windows
from mimic_base.signals import _smooth_number


@pytest.fixture(params=[(50,), (40, 3), (3, 2), (1, 4)], ids=str)
def signal(request: pytest.FixtureRequest) -> np.ndarray:
    return np.random.default_rng(5).normal(size=request.param)


@pytest.mark.parametrize("width", [1, 3, 7, 31])
def test_windows(signal: np.ndarray, width: int) -> None:
    keep: dict[str, Any] = {"axis": 0, "mode": "nearest"}
    np.testing.assert_array_equal(
        windows.highest(signal, width), ndimage.maximum_filter1d(signal, width, **keep)
    )
    np.testing.assert_array_equal(
        windows.lowest(signal, width), ndimage.minimum_filter1d(signal, width, **keep)
    )
    np.testing.assert_allclose(
        windows.mean(signal, width), ndimage.uniform_filter1d(signal, width, **keep), atol=1e-14
    )
    size = (width,) + (1,) * (signal.ndim - 1)
    np.testing.assert_array_equal(
        windows.middle(signal, width), ndimage.median_filter(signal, size=size, mode="nearest")
    )


@pytest.mark.parametrize("sigma", [0.6, 1.5, 4.0, 7.9])
@pytest.mark.parametrize("truncate", [2.0, 4.0])
def test_gaussian(signal: np.ndarray, sigma: float, truncate: float) -> None:
    np.testing.assert_allclose(
        windows.gaussian(signal, sigma, truncate),
        ndimage.gaussian_filter1d(signal, sigma, axis=0, mode="nearest", truncate=truncate),
        atol=1e-14,
    )


@pytest.mark.parametrize("frames", [1, 3, 100])
def test_spread(frames: int) -> None:
    mask = np.random.default_rng(2).random(60) < 0.05
    for each in (mask, np.zeros_like(mask), np.ones_like(mask)):
        np.testing.assert_array_equal(
            windows.spread(each, frames), ndimage.binary_dilation(each, iterations=frames)
        )


def test_fourier_lengths_are_the_next_with_small_factors() -> None:
    def small_factors(number: int) -> bool:
        for factor in (2, 3, 5):
            while number % factor == 0:
                number //= factor
        return number == 1

    for least in (1, 2, 7, 11, 97, 1023, 1025, 4999):
        expected = next(n for n in range(least, 3 * least) if small_factors(n))
        assert _smooth_number(least) == expected
