"""Losses over spectra, each a module over a pure function: prediction and target (B, 1, K) to a scalar."""

from __future__ import annotations

import warnings
from functools import cache

import torch
from auraloss.freq import MultiResolutionSTFTLoss
from torch import Tensor, nn
from torchaudio.transforms import MelSpectrogram

from fxemu.errors import check_sample_rate
from fxemu.losses.waveform import FlooredLoss

# FFT size, hop and window in samples: auraloss's defaults, smallest first.
RESOLUTIONS = ((512, 50, 240), (1024, 120, 600), (2048, 240, 1200))
SHORTEST_FFT = 64  # samples; fewer than 33 bins, 690 Hz apart at 44.1 kHz, hardly describe a sound
A_WEIGHTING_POLES_HZ = (20.598997, 107.65265, 737.86223, 12194.217)


def a_weighting(frequency_hz: Tensor) -> Tensor:
    """Gain of the A-weighting curve, 1 at 1 kHz (IEC 61672-1:2013, annex E)."""
    low, second, third, high = A_WEIGHTING_POLES_HZ

    def curve(f: Tensor) -> Tensor:
        f = f.double().square()
        middle = ((f + second**2) * (f + third**2)).sqrt()
        return high**2 * f.square() / ((f + low**2) * middle * (f + high**2))

    return (curve(frequency_hz) / curve(torch.tensor(1000.0))).to(frequency_hz.dtype)


def a_weighted_esr(prediction: Tensor, target: Tensor, sample_rate: int, floor: float = 1e-4) -> Tensor:
    """`esr` of A-weighted signals, which follows the ear's sensitivity (Wright & Valimaki 2020).

    They fit an FIR filter to the curve; here power spectra are weighted by the curve itself, which by Parseval's
    theorem is the same ratio without the fit's error. Segments are padded to twice their length against wrap-around.
    """
    size = 2 * target.shape[-1]
    frequency_hz = torch.fft.rfftfreq(size, 1 / sample_rate, device=target.device)
    weights = a_weighting(frequency_hz).square()
    error, signal = (
        (torch.fft.rfft(x, size).abs().square() * weights).sum(-1).mean() / target.shape[-1] ** 2
        for x in (prediction - target, target)
    )
    return error / (signal + floor)


def fitting_resolutions(samples: int) -> tuple[tuple[int, int, int], ...]:
    """The (FFT, hop, window) that a segment can hold: of RESOLUTIONS, or the smallest one halved until it fits.

    Raises:
        ValueError: for a segment of fewer than SHORTEST_FFT samples.
    """
    if samples < SHORTEST_FFT:
        raise ValueError(
            f"loss mrstft: got segments of {samples} samples; it needs at least {SHORTEST_FFT}: "
            "lengthen the training's stages, or take a loss over samples"
        )
    smallest = RESOLUTIONS[0]
    while smallest[0] > samples:
        smallest = tuple(size // 2 for size in smallest)
    return tuple(r for r in RESOLUTIONS if r[0] <= samples) or (smallest,)


@cache
def _mrstft_module(samples: int) -> MultiResolutionSTFTLoss:
    return MultiResolutionSTFTLoss(*map(list, zip(*fitting_resolutions(samples), strict=True)))


def mrstft(prediction: Tensor, target: Tensor) -> Tensor:
    """Multi-resolution STFT distance: spectral convergence + mean |log magnitude ratio|, averaged over resolutions.

    auraloss's own (Steinmetz & Reiss 2020, after Yamamoto et al. 2020), with the resolutions that fit the segment.
    """
    return _mrstft_module(target.shape[-1])(prediction, target)


class MRSTFT(nn.Module):
    """Multi-resolution STFT distance, `mrstft`, over FFTs of 512, 1024 and 2048 samples that fit a segment."""

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        return mrstft(prediction, target)


class AWeightedESR(FlooredLoss):
    """A-weighted error-to-signal ratio, `a_weighted_esr`.

    Args:
        sample_rate: of the segments, in Hz, 8000 to 192000.
        floor: added to the weighted target's mean square, above 0.
    """

    def __init__(self, sample_rate: int, floor: float = 1e-4) -> None:
        super().__init__(floor)
        check_sample_rate("sample_rate", sample_rate)
        self.sample_rate = sample_rate

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        return a_weighted_esr(prediction, target, self.sample_rate, self.floor)


class LogMel(FlooredLoss):
    """Mean |ln mel(prediction) - ln mel(target)| over magnitudes on a mel scale (Kong et al. 2020, HiFi-GAN).

    Segments are padded with zeros, so that one shorter than the FFT still fills a frame, at a coarser resolution.

    Args:
        sample_rate: of the segments, in Hz, 8000 to 192000.
        fft: samples in an FFT and its window, at least 64; a quarter of it is the hop.
        mels: bands, at least 1, as many as still hold a bin of the FFT each.
        floor: added to each magnitude before the logarithm, above 0.
    """

    def __init__(self, sample_rate: int, fft: int = 2048, mels: int = 64, floor: float = 1e-3) -> None:
        super().__init__(floor)
        check_sample_rate("sample_rate", sample_rate)
        if fft < 64 or not 1 <= mels <= fft // 2:
            raise ValueError(f"fft and mels: got {fft} and {mels}; fft must be at least 64, mels from 1 to fft / 2")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of empty bands, which are refused below
            self.mel = MelSpectrogram(
                sample_rate, fft, hop_length=fft // 4, n_mels=mels, power=1, pad_mode="constant", mel_scale="slaney"
            )
        empty = int((self.mel.mel_scale.fb.sum(0) == 0).sum())
        if empty:
            raise ValueError(
                f"mels: got {mels}, of which {empty} would hold no bin of an FFT of {fft} samples at {sample_rate} Hz: "
                "take fewer, or a larger fft"
            )

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        log_prediction, log_target = ((self.mel(x) + self.floor).log() for x in (prediction, target))
        return (log_prediction - log_target).abs().mean()
