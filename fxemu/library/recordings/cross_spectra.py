"""Cross-spectra of windows of dry and wet: weighted for the delay between them, and read as correlations.

Shapes: W samples of a window, F = W / 2 + 1 frequencies, K windows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Spectra = NDArray[np.complex128]
WINDOW = 16_384  # samples; 100 ppm of drift move a signal by 1.6 samples within it
FINER = 8  # correlations are computed at an eighth of a sample, and between by a parabola


def phase_only(spectrum: Spectra) -> Spectra:
    """The spectrum with all magnitudes 1, but for those that are next to nothing."""
    return spectrum / (np.abs(spectrum) + 1e-12 * np.abs(spectrum).max() + 1e-300)


def window_spectra(x: Array, y: Array, starts: NDArray[np.int64], delays: Array) -> tuple[Spectra, Spectra]:
    """Spectra (K, F) of dry's windows and of wet's, each wet window advanced by its delay (K,), fractions included.

    Args:
        x, y: dry and wet.
        starts: of dry's windows.
        delays: in samples.
    """
    hann = np.hanning(WINDOW + 1)[:-1]
    whole = np.round(delays).astype(int)
    before = max(0, -int((starts + whole).min()))
    after = max(0, int((starts + whole).max()) + WINDOW - y.size)
    y = np.pad(y, (before, after))
    dries = np.stack([hann * x[s : s + WINDOW] for s in starts])
    wets = np.stack([hann * y[s : s + WINDOW] for s in starts + whole + before])
    turn = np.exp(2j * np.pi / WINDOW * np.outer(delays - whole, np.arange(WINDOW // 2 + 1)))
    return np.fft.rfft(dries), np.fft.rfft(wets) * turn


def whitened(dries: Spectra, wets: Spectra) -> Spectra:
    """Cross-spectra (K, F) of windows, equalised so that all frequencies have the same power over all windows."""
    cross = dries.conj() * wets
    return cross / (np.sqrt(_smooth((np.abs(cross) ** 2).mean(0))) + 1e-300)


def delay_weights(dries: Spectra, wets: Spectra) -> tuple[Array, Spectra]:
    """Weights (F,) of least variance, coherence / (1 - coherence), and the same with the minimum phase removed."""
    coherence, gain = squared_coherence(dries, wets)
    weight = np.minimum(coherence / (1 - coherence), 100)
    weight[: WINDOW // 2000] = 0  # below 22 Hz there is hum and DC, and no information about the delay
    return weight, weight * phase_only(minimum_phase_filter(coherence, gain)).conj()


def squared_coherence(dries: Spectra, wets: Spectra) -> tuple[Array, Array]:
    """Squared coherence (F,) over the windows, less its bias, and the gain |H| of the best linear filter."""
    power, other = (_smooth((np.abs(s) ** 2).mean(0)) + 1e-300 for s in (dries, wets))
    cross = (dries.conj() * wets).mean(0)
    cross = np.abs(_smooth(cross.real) + 1j * _smooth(cross.imag))
    bias = 1 / (len(dries) / 2 + 1)
    coherence = np.clip((cross**2 / (power * other) - bias) / (1 - bias), 0, 1 - 1e-4)
    return coherence, cross / power


def coherence_of_wet(dries: Spectra, wets: Spectra) -> float:
    """The share of wet's energy that a linear filter of dry explains, 0 to 1."""
    power = (np.abs(wets) ** 2).mean(0)
    return float((squared_coherence(dries, wets)[0] * power).sum() / (power.sum() + 1e-300))


def _smooth(values: Array, width: int = 9) -> Array:
    """Weighted mean of each value and its neighbours."""
    kernel = np.hanning(width + 2)[1:-1]
    return np.convolve(np.pad(values, width // 2, mode="edge"), kernel / kernel.sum(), "valid")


def minimum_phase_filter(coherence: Array, gain: Array) -> Spectra:
    """The filter (F,) of minimum phase with the gain in thirds of an octave."""
    log_gain = _log_gain(coherence, gain)
    return np.exp(log_gain + 1j * _minimum_phase(log_gain))


def _log_gain(coherence: Array, gain: Array) -> Array:
    """Log gain (F,) in thirds of an octave, continued with the last slope where there is no coherence."""
    log_f = np.log2(np.arange(1, gain.size))
    band = np.round(3 * log_f).astype(int)
    weight = np.bincount(band, coherence[1:] * (coherence[1:] > 0.2))
    known = np.flatnonzero(weight > 0.1 * np.bincount(band))
    if known.size < 4:
        return np.zeros(gain.size)
    total = np.bincount(band, coherence[1:] * (coherence[1:] > 0.2) * np.log(gain[1:] + 1e-300))
    level = total[known] / weight[known]
    log_gain = np.interp(3 * log_f, known, level)
    # In log gain a third of an octave: a filter falls by up to 24 dB an octave, and none rises to the end.
    slope = np.clip((level[-1] - level[-4]) / (known[-1] - known[-4]), -24 / 20 * np.log(10) / 3, 0)
    log_gain += slope * np.maximum(0, 3 * log_f - known[-1])
    return np.concatenate((log_gain[:1], log_gain))


def _minimum_phase(log_gain: Array) -> Array:
    """Phase (F,) in radians of the minimum-phase filter with a log gain: its Hilbert transform, by the cepstrum."""
    cepstrum = np.fft.irfft(log_gain)
    cepstrum[1 : WINDOW // 2] *= 2
    cepstrum[WINDOW // 2 + 1 :] = 0
    return np.fft.rfft(cepstrum).imag


def correlations(cross: Spectra, reach: int) -> Array:
    """Correlations (K, 2 * FINER * reach + 1) from -reach to reach samples, 1 where all frequencies agree."""
    size = FINER * WINDOW
    lags = np.arange(-reach * FINER, reach * FINER + 1)
    curves = [np.fft.irfft(row, size)[lags] * size / 2 / (np.abs(row).sum() + 1e-300) for row in cross]
    return np.stack(curves)


def correlation_peaks(curves: Array) -> tuple[Array, Array]:
    """Lags (K,) in samples at which the correlations peak, and their heights; 0 for those that peak at an end."""
    offsets, heights = np.zeros(len(curves)), np.zeros(len(curves))
    for k, curve in enumerate(curves):
        top = int(np.abs(curve).argmax())
        if 0 < top < curve.size - 1:
            left, middle, right = np.abs(curve[top - 1 : top + 2])
            offsets[k] = (top - curve.size // 2 + 0.5 * (left - right) / (left - 2 * middle + right)) / FINER
            heights[k] = curve[top]
    return offsets, heights
