"""The onset of a response is found in spite of its tail, and its standard error is true."""

import numpy as np
import pytest

from fxemu.library.recordings.onset import fit_onset, onset

BINS = 4097
TURNS = np.pi * np.linspace(0, 1, BINS)
SHARE = np.where(np.linspace(0, 1, BINS) < 0.8, 0.99, 0.0)  # a song that ends at 0.8 of Nyquist, 20 dB above its noise


def response(delay: float, rng: np.random.Generator, tail: float = 0.05, noise: float = 1e-3) -> np.ndarray:
    """A pulse and 2000 random taps after it, with noise, as `fit_onset` takes it."""
    taps = np.concatenate(([1.0], tail * rng.standard_normal(2000) * np.exp(-np.arange(2000) / 500)))
    filtered = np.fft.rfft(taps, 2 * (BINS - 1)) * np.exp(-1j * TURNS * delay)
    return SHARE * (filtered + np.fft.rfft(noise * rng.standard_normal(2 * (BINS - 1))))


def highest(spectrum: np.ndarray) -> float:
    """Where the response is highest, to a 64th of a sample."""
    fine = np.fft.irfft(spectrum, 64 * 2 * (BINS - 1))
    return float(np.concatenate((fine[-64:], fine[:64])).argmax() - 64) / 64


def test_a_tail_does_not_bias_the_onset_and_the_error_bound_holds():
    rng = np.random.default_rng(0)
    delays = rng.uniform(-0.4, 0.4, 40)
    responses = [response(delay, rng) for delay in delays]
    found, bounds = np.array([fit_onset(spectrum, SHARE) for spectrum in responses]).T
    errors = found - delays
    peaks = np.array([highest(spectrum) for spectrum in responses]) - delays
    assert np.sqrt(np.mean(errors**2)) < 0.01 < 0.02 < np.sqrt(np.mean(peaks**2))
    assert 0.5 < np.sqrt(np.mean((errors / bounds) ** 2)) < 1.5


def test_more_noise_and_less_treble_are_less_certain():
    def bound(share: np.ndarray, noise: float) -> float:
        return fit_onset(response(0.2, np.random.default_rng(1), noise=noise) * (share > 0), share)[1]

    dull = np.where(np.linspace(0, 1, BINS) < 0.2, SHARE, 0)
    assert bound(SHARE, 1e-2) > 2 * bound(SHARE, 1e-3)
    assert bound(dull, 1e-3) > 5 * bound(SHARE, 1e-3)


def test_polarity_and_gain_change_nothing():
    spectrum = response(0.3, np.random.default_rng(2))
    assert fit_onset(-7 * spectrum, SHARE) == pytest.approx(fit_onset(spectrum, SHARE), rel=1e-6)


def test_the_onset_of_silence_has_an_infinite_error():
    assert fit_onset(np.zeros(BINS, complex), np.zeros(BINS)) == (0.0, float("inf"))


def test_noise_through_a_filter_is_found_where_the_filter_is_taken_out():
    rng = np.random.default_rng(3)
    dry = rng.standard_normal(100_000)
    smooth = np.array([0.6, 0.3, 0.1])  # of minimum phase
    wet = np.convolve(dry, smooth)[: dry.size] + 1e-2 * rng.standard_normal(dry.size)
    delay, error = onset(dry, wet, np.fft.rfft(smooth, 512))
    assert delay == pytest.approx(0, abs=4 * error) and error < 1e-3
