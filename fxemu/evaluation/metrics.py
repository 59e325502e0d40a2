"""Error measures as the field defines them; all take a prediction and its target, float (samples,)."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from auraloss.freq import MultiResolutionSTFTLoss
from torch import Tensor
from torchaudio import functional as AF

from fxemu.audio.loudness import loudness_lufs
from fxemu.losses import spectral

EPSILON = 1e-12
# Above this frequency a sound is treble.
TREBLE_HZ = 4000.0


def esr(prediction: Tensor, target: Tensor) -> float:
    """Error-to-signal ratio, sum(e^2) / sum(y^2)."""
    error = (prediction - target).double()
    return float(error.square().sum() / (target.double().square().sum() + EPSILON))


def esr_db(esr: float) -> float:
    """An ESR in dB: the error's level beside the signal's, -120 at least."""
    return 10 * math.log10(max(esr, EPSILON))


def level_dbfs(x: Tensor) -> float:
    """RMS beside full scale, -120 dB at least."""
    return 10 * math.log10(max(float(x.double().square().mean()), EPSILON))


def nmae(prediction: Tensor, target: Tensor) -> float:
    """Normalised mean absolute error, mean |e| / mean |y|."""
    return float((prediction - target).abs().double().sum() / (target.abs().double().sum() + EPSILON))


def dc(prediction: Tensor, target: Tensor) -> float:
    """mean(e)^2 / mean(y^2) (Wright et al. 2019)."""
    error = (prediction - target).double()
    return float(error.mean().square() / (target.double().square().mean() + EPSILON))


def preemphasis(x: Tensor, coefficient: float = 0.85) -> Tensor:
    """x[t] - 0.85 x[t-1] (Wright et al. 2019)."""
    return AF.preemphasis(x, coefficient)


def a_weighted_esr(prediction: Tensor, target: Tensor, sample_rate: int) -> float:
    """ESR under the A-weighting curve of IEC 61672-1 (Wright & Valimaki 2020), see `losses.spectral`."""
    return float(spectral.a_weighted_esr(prediction.double(), target.double(), sample_rate, EPSILON))


def treble_esr(prediction: Tensor, target: Tensor, sample_rate: int) -> float:
    """ESR of the band above TREBLE_HZ; 0 at a sample rate that holds nothing there."""
    lowest = int(TREBLE_HZ * target.numel() / sample_rate) + 1
    error, signal = (torch.fft.rfft(x.double())[lowest:].abs().square().sum() for x in (prediction - target, target))
    return float(error / (signal + EPSILON))


def treble_level_db(prediction: Tensor, target: Tensor, sample_rate: int) -> float:
    """Level of the prediction above TREBLE_HZ less the target's, in dB; 0 at a rate that holds nothing there."""
    lowest = int(TREBLE_HZ * target.numel() / sample_rate) + 1
    own, true = (torch.fft.rfft(x.double())[lowest:].abs().square().sum() for x in (prediction, target))
    return 10 * math.log10(float((own + EPSILON) / (true + EPSILON)))


def loudness_error_lu(prediction: Tensor, target: Tensor, sample_rate: int) -> float:
    """Loudness of the prediction less the target's in LU (ITU-R BS.1770-4); 0 where either is below -70 LUFS."""
    own, true = (loudness_lufs(x.numpy(), sample_rate) for x in (prediction, target))
    return 0.0 if own is None or true is None else own - true


def mrstft(prediction: Tensor, target: Tensor) -> float:
    """Multi-resolution STFT distance (Steinmetz & Reiss 2020, after Yamamoto et al. 2020), auraloss's own."""
    return float(MultiResolutionSTFTLoss()(prediction[None, None], target[None, None]))


def inverted_esr(prediction: Tensor, target: Tensor) -> float:
    """ESR with the prediction's polarity inverted: where it is below `esr`, a sign is wrong somewhere.

    It is below exactly where the prediction and the target correlate negatively.
    """
    return esr(-prediction, target)


def gain_error_db(prediction: Tensor, target: Tensor, frame: int = 441) -> float:
    """Root mean square difference of the levels of prediction and target in dB, frame by frame (10 ms at 44.1 kHz).

    With the same dry this is the difference of the two gain curves. Frames of the target 60 dB below its peak do not
    count.
    """
    levels = [x[: x.numel() // frame * frame].double().view(-1, frame).square().mean(1) for x in (prediction, target)]
    audible = levels[1] > 1e-6 * target.double().square().max()
    if not audible.any():
        return 0.0
    ratio = (levels[0][audible] + EPSILON) / levels[1][audible]
    return float((10 * ratio.log10()).square().mean().sqrt())


def diverged(prediction: Tensor, limit: float) -> bool:
    """Whether a free run is not finite, or ends stuck at its limit: more than a tenth of its last 44,100 samples."""
    last = prediction[-44_100:]
    return not bool(torch.isfinite(prediction).all()) or float((last.abs() >= 0.999 * limit).float().mean()) > 0.1


def samples_to_divergence(prediction: Tensor, limit: float) -> int | None:
    """The sample after which a free run that `diverged` is never off its limit for 100 samples; None if it did not."""
    if not diverged(prediction, limit):
        return None
    within_limit = torch.isfinite(prediction) & (prediction.abs() < 0.999 * limit)
    stretches = within_limit.unfold(0, min(100, within_limit.numel()), 1).all(-1).nonzero()
    return int(stretches[-1]) + 100 if stretches.numel() else 0


def samples_before_divergence(prediction: Tensor, limit: float) -> int:
    """Number of samples before a free run diverges; all of them, if it does not."""
    diverged_at = samples_to_divergence(prediction, limit)
    return prediction.numel() if diverged_at is None else diverged_at


def over_all(pairs: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Concatenates (prediction, target) of several songs, for a ratio over all audio."""
    predictions, targets = zip(*pairs, strict=True)
    return torch.cat(predictions), torch.cat(targets)
