"""Evaluating layers of a plan for all times at once, wherever they need not wait for the feedback.

Signals are (B, W, T) tensors that all end at the same sample; a layer that looks back is shorter at its start.
Shapes: B batch, W width of a source, U units, N taps, T samples.
"""

from __future__ import annotations

from functools import reduce

import torch
from torch import Tensor
from torch.nn import functional as F

from fxemu.activations import activate
from fxemu.plan import DRY, FIRST, WET, Layer, Plan, Term

# A window this long over this many samples is cheaper through the FFT than tap by tap (measured).
FFT_TAPS = 128
FFT_SAMPLES = 2048


def evaluate(plan: Plan, signals: dict[int, Tensor], wanted: set[int]) -> dict[int, Tensor]:
    """`signals`, which must determine the wanted values, with those and whatever they need added."""
    signals = dict(signals)
    for value in sorted(wanted | _ancestors(plan, wanted, set(signals))):
        if value not in signals:
            layer = plan.layers[value - FIRST]
            signals[value] = activate(weighted_sum(layer, layer.terms, signals), layer.activation)
    return signals


def weighted_sum(layer: Layer, terms: tuple[Term, ...], signals: dict[int, Tensor]) -> Tensor:
    """bias + the given terms of a layer: (B, U, T'), T' being what the longest of them leaves."""
    parts = [_windowed(term, signals[term.source]) for term in terms]
    shortest = min(part.shape[-1] for part in parts)
    parts = [part[..., part.shape[-1] - shortest :] for part in parts]
    if layer.bias is not None:
        parts.append(layer.bias[:, None])
    return reduce(torch.add, parts)


def boundary(plan: Plan) -> set[int]:
    """The feed-forward values that the feedback loop, or the listener, reads."""
    early = plan.feedforward()
    read = {term.source for value, layer in plan.values() if value not in early for term in layer.terms}
    return (read | {plan.last}) & early


def drive(plan: Plan, value: int, signals: dict[int, Tensor], samples: int) -> Tensor:
    """What a looping layer gets from outside the loop, bias included: the last `samples` of it, (B, U, samples).

    A layer that gets nothing but its bias has (1, U, 1).
    """
    layer, early = plan.layers[value - FIRST], plan.feedforward()
    outside = tuple(term for term in layer.terms if term.source in early)
    if outside:
        return weighted_sum(layer, outside, signals)[..., -samples:]
    if layer.bias is None:
        return signals[DRY].new_zeros(1, layer.units, 1)
    return layer.bias[None, :, None]


def pasts(plan: Plan, dry: Tensor, wet: Tensor) -> dict[int, Tensor]:
    """What every looping value with a past was, up to a moment, given dry and wet (B, 1, H) up to that moment.

    Returns:
        (B, W, span) for each; for WET (B, 1, span + 1), since the last wet sample is its present value.
    """
    spans, early = plan.histories(), plan.feedforward()
    values = {value for value, _ in plan.values() if value not in early and spans[value]}
    known = evaluate(plan, {DRY: dry, WET: F.pad(wet, (1, -1))}, values)
    found = {value: known[value][..., -spans[value] :] for value in values}
    return {WET: wet[..., wet.shape[-1] - spans[WET] - 1 :], **found}


def _windowed(term: Term, x: Tensor) -> Tensor:
    weight = term.weight.to(x.device)
    if weight.shape[-1] >= FFT_TAPS and x.shape[-1] >= FFT_SAMPLES and term.dilation == 1:
        return _fft_convolution(weight, x)
    return F.conv1d(x, weight, dilation=term.dilation)


def _fft_convolution(weight: Tensor, x: Tensor) -> Tensor:
    """conv1d of x (B, W, T) with weight (U, W, N), by overlap-save: (B, U, T - N + 1)."""
    taps = weight.shape[-1]
    size = 1 << (4 * taps - 1).bit_length()
    hop = size - taps + 1
    samples = x.shape[-1] - taps + 1
    blocks = -(-samples // hop)
    padded = F.pad(x, (0, blocks * hop + taps - 1 - x.shape[-1]))
    spectra = torch.fft.rfft(padded.unfold(-1, size, hop))
    response = torch.fft.rfft(weight.flip(-1), size)
    y = torch.fft.irfft(torch.einsum("bwkf,uwf->bukf", spectra, response), size)[..., taps - 1 :]
    return y.flatten(-2)[..., :samples]


def _ancestors(plan: Plan, values: set[int], known: set[int]) -> set[int]:
    found: set[int] = set()
    stack = list(values - known)
    while stack:
        sources = {term.source for term in plan.layers[stack.pop() - FIRST].terms} - known - found
        found |= sources
        stack += sources
    return found
