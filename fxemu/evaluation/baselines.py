"""Trivial predictors to compare a score with, fitted without gradient.

Each is fitted on training songs and applied to others; songs are (dry, wet) pairs of (samples,).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor
from torch.nn import functional as F

from fxemu.models.fits.fir import filtered, fit_filters

Pair = tuple[Tensor, Tensor]
Baseline = Callable[[Tensor, Tensor], Tensor]
# Of the baselines that are emulations too; `copy_last` is none.
IN_WORDS = {"fir": "the best short filter", "gain": "a volume knob at its best"}
# ESR below which nobody hears whether a baseline has less.
INAUDIBLE_ESR = 1e-6


def copy_last(dry: Tensor, wet: Tensor) -> Tensor:
    """wet[t-1] for wet[t]: no free run, since it uses the true past, but the measure of a one-step error."""
    return F.pad(wet, (1, -1))


def best_gain(pairs: Sequence[Pair]) -> Baseline:
    """The constant gain on dry with the least squared error over the pairs."""
    gain = sum(dry.double() @ wet.double() for dry, wet in pairs) / sum(dry.double() @ dry.double() for dry, _ in pairs)
    return lambda dry, wet: (gain * dry).to(dry.dtype)


def best_fir(pairs: Sequence[Pair], taps: int) -> Baseline:
    """The causal linear filter of dry with the least squared error over the pairs."""
    filter_ = fit_filters([(dry[None], wet) for dry, wet in pairs], taps)[0]
    return lambda dry, wet: filtered(dry, filter_).to(dry.dtype)


def outdone(esr: float, baselines: Mapping[str, float]) -> str | None:
    """Warning of a model of this ESR that is no better than a trivial predictor (ESR by name); None if it is."""
    best = min((name for name in IN_WORDS if name in baselines), key=lambda name: baselines[name], default=None)
    if best is None or esr < max(baselines[best], INAUDIBLE_ESR):  # never of a NaN
        return None
    return (
        f"{IN_WORDS[best]} has an ESR of {baselines[best]:.1e}, the model {esr:.1e}; "
        "train it on more audio, for longer, or with model=auto, and ask fxemu look what the box is"
    )
