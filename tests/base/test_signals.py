"""The filters do what scipy's do, of which they are written out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import butter, fftconvolve, sosfiltfilt
from scipy.signal.windows import gaussian

from mimic_base.signals import _blurred, low_pass, smooth_curve, stiffness, weighted_fill


@pytest.mark.parametrize("shape", [(240,), (61, 3), (40, 2, 3), (7, 2)])
@pytest.mark.parametrize("cutoff", [1.5, 6.0, 20.0])
def test_low_pass_is_scipys_butterworth_forward_and_backward(shape, cutoff: float) -> None:
    x = np.random.default_rng(0).normal(size=shape).cumsum(axis=0)
    pad = min(len(x) - 1, int(3 * 50.0 / cutoff))
    sos = butter(2, cutoff, fs=50.0, output="sos")
    expected = sosfiltfilt(sos, x, axis=0, padtype="odd", padlen=pad)
    found = low_pass(x, 50.0, cutoff)
    assert found.shape == x.shape
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * np.abs(x).max())


def test_low_pass_leaves_what_it_cannot_filter() -> None:
    x = np.arange(5.0)
    assert low_pass(x, 50.0, 6.0) is x
    long = np.arange(50.0)
    assert low_pass(long, 50.0, 24.0) is long
    np.testing.assert_allclose(low_pass(long, 50.0, 6.0), long, atol=1e-5)  # lines pass unchanged


@pytest.mark.parametrize("sigma", [9.0, 40.0, 200.0])
def test_wide_blurs_are_a_convolution(sigma: float) -> None:
    x = np.random.default_rng(1).normal(size=(150, 3))
    reach = int(4.0 * sigma + 0.5)
    window = gaussian(2 * reach + 1, sigma)[:, None]
    padded = np.pad(x, [(reach, reach), (0, 0)], mode="edge")
    expected = fftconvolve(padded, window / window.sum(), mode="valid", axes=0)
    np.testing.assert_allclose(_blurred(x, sigma), expected, atol=1e-12)


def test_filled_values_stay_where_they_are_known() -> None:
    x = np.linspace(0.0, 1.0, 100)
    weight = np.ones(100)
    weight[40:60] = 0.0
    wrong = np.where(weight > 0, x, 9.0)
    filled = weighted_fill(wrong, weight, 50.0)
    np.testing.assert_array_equal(filled[weight > 0], x[weight > 0])
    assert np.abs(filled - x).max() < 0.15


def test_a_smooth_curve_solves_its_least_squares() -> None:
    value = np.random.default_rng(2).normal(size=(30, 2))
    weight = np.linspace(0.1, 2.0, 30)
    hard = stiffness(2.0, 50.0)
    second = np.diff(np.eye(30), n=2, axis=0)
    expected = np.linalg.solve(np.diag(weight) + hard * second.T @ second, weight[:, None] * value)
    np.testing.assert_allclose(smooth_curve(value, weight, hard), expected, rtol=1e-6, atol=1e-8)
