"""Onset of a linear filter's response, to hundredths of a sample, with its standard error.

The peak of a reverb's response leans towards its reflections, by more than a twentieth of a sample. But they come after
the onset, and before it there is only noise. So the response is modelled as one pulse, a tail of random taps at the
whole samples after it, and noise, and fitted by generalised least squares (Aitken 1936), whose error is the
Cramer-Rao bound of this model.

Shapes: N samples, W samples of a window, F = W / 2 + 1 frequencies from 0 to Nyquist.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, toeplitz

Array = NDArray[np.float64]
Spectrum = NDArray[np.complex128]
LONGEST_WINDOW, FEWEST_WINDOWS = 131_072, 7  # samples: 3 s, in which most reverbs die away
LOWEST, HIGHEST = 0.001, 0.9  # of Nyquist: below is hum, and above, converters and resamplers roll off
REACH, CLOSE = 96, 2  # samples on either side of the onset: in the fit, and of the pulse itself
SMOOTHED, PASSES = 256, 8  # bands in which levels are compared; passes of the fit


def onset(dry: Array, wet: Array, shape: Spectrum) -> tuple[float, float]:
    """Onset of the response of wet (N,) to dry (N,), and its standard error, both in samples.

    Args:
        dry: 32768 samples or more.
        wet: aligned with dry to within a sample.
        shape: the filter behind the onset, at frequencies from 0 to Nyquist; ones for none.
    """
    response, share = _response(dry, wet)
    places = (np.linspace(0, 1, frequencies.size) for frequencies in (share, shape))
    return fit_onset(response / np.interp(*places, shape), share)


def _response(dry: Array, wet: Array) -> tuple[Spectrum, Array]:
    """Response (F,) of wet to dry, multiplied by `share`; and `share` (F,), 0 to 1, of it that is not noise."""
    window = min(LONGEST_WINDOW, 1 << int(np.log2(2 * dry.size / (FEWEST_WINDOWS + 1))))
    starts = range(0, dry.size - window + 1, window // 2)
    hann = np.hanning(window + 1)[:-1]
    power, other, cross = np.zeros(window // 2 + 1), np.zeros(window // 2 + 1), np.zeros(window // 2 + 1, complex)
    for start in starts:
        x, y = (np.fft.rfft(hann * signal[start : start + window]) for signal in (dry, wet))
        power, other, cross = power + np.abs(x) ** 2, other + np.abs(y) ** 2, cross + x.conj() * y
    power += 1e-12 * power.max()
    # Levels are averaged over many frequencies: a share that followed the response's ripple would distort it.
    bias = 1 / len(starts)
    coherence = ((_smooth(np.abs(cross) ** 2 / power) / (_smooth(other) + 1e-300) - bias) / (1 - bias)).clip(0, 1)
    signal_to_noise = coherence / (1 - coherence + 1e-12) * power / _smooth(power)
    share = signal_to_noise / (signal_to_noise + bias)
    place = np.linspace(0, 1, share.size)
    share[(place < LOWEST) | (place > HIGHEST)] = 0
    return share * cross / power, share


def _smooth(spectrum: Array) -> Array:
    """Moving average of a spectrum (F,) over a 256th of Nyquist."""
    width = spectrum.size // SMOOTHED + 1
    return np.convolve(np.pad(spectrum, width // 2, mode="edge"), np.full(width, 1 / width), "valid")


def fit_onset(response: Spectrum, share: Array) -> tuple[float, float]:
    """Onset of a response, within a sample of 0, and its standard error, infinite where `share` is 0 throughout.

    The levels of noise and tail are those of each pass's residual before the onset and after.

    Args:
        response: (F,), multiplied by `share`.
        share: (F,), 0 to 1, of each frequency that is response and not noise: the spectrum of an onset at 0.
    """
    if not share.any():
        return 0.0, float("inf")
    lags, turns = np.arange(-REACH, REACH + 1), np.pi * np.linspace(0, 1, share.size)
    measured = np.fft.irfft(response)[lags]
    # Noise is (1 - share) / share of the response, times the square of share in power.
    colour = np.fft.irfft(share * (1 - share) + 1e-3 * share)[: lags.size]
    colour = toeplitz(colour / colour[0]) + 1e-6 * np.eye(lags.size)
    delay, noise, tail = 0.0, 1.0, 0.0
    for _ in range(PASSES):
        spectrum = share * np.exp(-1j * turns * delay)
        pulse, slope = np.fft.irfft(spectrum), np.fft.irfft(-1j * turns * spectrum)
        taps, basis = pulse[lags[:, None] - np.arange(1, 2 * REACH)], np.stack((pulse[lags], slope[lags]), 1)
        covariance = cho_factor(noise * colour + tail * taps @ taps.T)
        bound = np.linalg.inv(basis.T @ cho_solve(covariance, basis))
        height, moved = bound @ basis.T @ cho_solve(covariance, measured)
        residual = measured - basis @ (height, moved)
        excess = max(1.0, residual @ cho_solve(covariance, residual) / (residual.size - 2))
        delay = float(np.clip(delay + np.clip(moved / height, -0.3, 0.3), -1, 1))
        noise = np.mean(residual[: REACH - CLOSE] ** 2)
        tail = max(0.0, np.mean(residual[REACH + 1 + CLOSE :] ** 2) - noise) / np.mean(share**2)
    return delay, float(np.sqrt(bound[1, 1] * excess) / abs(height))
