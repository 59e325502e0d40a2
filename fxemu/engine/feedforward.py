"""Evaluating the steps of a plan that do not depend on the feedback, for all times at once.

Signals are (B, W, T) tensors that all end at the same sample; a layer that looks back is shorter at its start.
Shapes: B batch, W width of a source, U units, N taps, T samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce

import torch
from torch import Tensor
from torch.nn import functional as F

from fxemu.engine.activations import activate
from fxemu.engine.lookup import look_up
from fxemu.engine.partition import Partition
from fxemu.engine.plan import DRY, FIRST, WET, Layer, Lookup, Mix, Part, Plan, Product, Term

# A window this long over this many samples is cheaper through the FFT than tap by tap.
FFT_TAPS = 64
FFT_SAMPLES = 1024
# With a shorter window or fewer weights than this the loop of one stream is faster still.
LOOP_TAPS, LOOP_WEIGHTS = 128, 512


def evaluate(plan: Plan, signals: dict[int, Tensor], wanted: set[int], samples: int | None = None) -> dict[int, Tensor]:
    """`signals` with the wanted values added, and all that they depend on; `signals` must determine them.

    Given `samples`, only what the last so many samples of the loop, and of the output, depend on is evaluated.
    """
    signals = dict(signals)
    missing = sorted((wanted | ancestors(plan, wanted, set(signals))) - set(signals))
    needed = _needed(plan, samples, signals) if missing and samples is not None else {}
    for value in missing:
        signals[value] = compute(plan.step(value), signals, needed.get(value))
    return signals


def compute(step: Layer | Mix | Lookup | Part, signals: dict[int, Tensor], samples: int | None = None) -> Tensor:
    """The value of a step, given those it reads: (B, U, T), or the last `samples` of it."""
    if isinstance(step, Part):
        return signals[step.source][:, step.first : step.first + step.units]
    return activate(_before_activation(step, signals, samples), step.activation)


def _needed(plan: Plan, samples: int, given: Iterable[int]) -> dict[int, int]:
    """How many samples of each value its readers need, for `samples` of the loop or of the last value."""
    early, needed = plan.feedforward(given), dict.fromkeys(range(FIRST + len(plan.steps)), samples)
    for value, step in reversed(list(plan.values())):
        own = needed[value] if value in early else samples
        for source, span in step.spans().items():
            needed[source] = max(needed[source], own + span)
    return needed


def _before_activation(step: Layer | Mix | Lookup, signals: dict[int, Tensor], samples: int | None) -> Tensor:
    if isinstance(step, Layer):
        return weighted_sum(step, step.terms, signals, samples)
    if isinstance(step, Mix):
        return reduce(torch.add, _ending_together([_product(product, signals, samples) for product in step.products]))
    return look_up(step.table, _latest(signals[step.source], samples), step.nearest)


def weighted_sum(layer: Layer, terms: Sequence[Term], signals: dict[int, Tensor], samples: int | None = None) -> Tensor:
    """bias + the given terms of a layer: (B, U, T'), T' being what the longest leaves, or the last `samples`."""
    seen = {term: _latest(signals[term.source], samples, term.span) for term in terms}
    present = [term for term in terms if term.weight.shape[-1] == 1]
    parts = [_windowed(term, x) for term, x in seen.items() if term not in present]
    if present:
        # As one product: faster than one after another, where there are many.
        x = torch.cat(_ending_together([seen[term] for term in present]), dim=1)
        parts.append(torch.cat([term.weight[..., 0] for term in present], dim=1).to(x.device) @ x)
    total = reduce(torch.add, _ending_together(parts))
    return total if layer.bias is None else total.add_(layer.bias[..., None])


def has_long_window(plan: Plan) -> bool:
    """Whether some window over feed-forward values is so long that the FFT pays."""
    early = plan.feedforward()
    terms = [term for step in plan.steps if isinstance(step, Layer) for term in step.terms if term.source in early]
    long = [term for term in terms if _is_long(term, LOOP_TAPS)]
    return any(term.weight.numel() >= LOOP_WEIGHTS for term in long)


def drive(partition: Partition, value: int, signals: dict[int, Tensor], samples: int) -> Tensor:
    """The part of a looping layer that is computed before the loop, bias included: its last samples, (B, U, samples).

    For a layer without such terms it is its bias, (1, U, 1), or (B, U, 1).
    """
    layer, driving = partition.plan.step(value), tuple(partition.driving_terms(value))
    if driving:
        return weighted_sum(layer, driving, signals)[..., -samples:]
    if layer.bias is None:
        return signals[DRY].new_zeros(1, layer.units, 1)
    return layer.bias.view(-1, layer.units, 1)


def stateless_past_values(partition: Partition, inputs: dict[int, Tensor], wet: Tensor) -> dict[int, Tensor]:
    """Past samples (B, W, rows) of the values in the loop that look back, from a history of inputs and wet (B, 1, H).

    For plans whose only state is WET: all their values can be computed from these.
    """
    plan, rows = partition.plan, partition.tapped
    last = plan.sources[WET]
    known = {last: wet, **evaluate(plan, {**inputs, WET: F.pad(wet, (1, -1))}, rows.keys() - {last})}
    return {value: known[value][..., known[value].shape[-1] - count :] for value, count in rows.items()}


def _latest(x: Tensor, samples: int | None, before: int = 0) -> Tensor:
    """The last `samples` of x (B, W, T) and `before` more, or everything."""
    return x if samples is None else x[..., max(0, x.shape[-1] - samples - before) :]


def _product(product: Product, signals: dict[int, Tensor], samples: int | None) -> Tensor:
    factors = _ending_together([_latest(signals[factor], samples) for factor in product.factors])
    total = reduce(torch.mul, factors)
    if not isinstance(product.scale, Tensor):
        return total if product.scale == 1 else product.scale * total
    return product.scale[:, None] * total


def _ending_together(signals: list[Tensor]) -> list[Tensor]:
    """The signals without the start of the longer ones."""
    shortest = min(signal.shape[-1] for signal in signals)
    # A whole tensor stays as it is: with its gradient, adding to a part in place takes longer.
    return [s if s.shape[-1] == shortest else s[..., s.shape[-1] - shortest :] for s in signals]


def _windowed(term: Term, x: Tensor) -> Tensor:
    weight = term.weight.to(x.device)
    if x.shape[-1] == term.span + 1:
        # One sample: a product costs less than a convolution.
        return (x[..., :: term.dilation].flatten(1) @ weight.flatten(1).T)[..., None]
    if _is_long(term, FFT_TAPS) and x.shape[-1] >= FFT_SAMPLES:
        return _fft_convolution(weight, x)
    return F.conv1d(x, weight, dilation=term.dilation)


def _is_long(term: Term, taps: int) -> bool:
    return term.weight.shape[-1] >= taps and term.dilation == 1


def _fft_convolution(weight: Tensor, x: Tensor) -> Tensor:
    """conv1d of x (B, W, T) with weight (U, W, N), by overlap-save: (B, U, T - N + 1)."""
    taps = weight.shape[-1]
    size = 1 << (min(4 * taps, x.shape[-1]) - 1).bit_length()
    hop = size - taps + 1
    samples = x.shape[-1] - taps + 1
    blocks = -(-samples // hop)
    padded = F.pad(x, (0, blocks * hop + taps - 1 - x.shape[-1]))
    spectra = torch.fft.rfft(padded.unfold(-1, size, hop))
    response = torch.fft.rfft(weight.flip(-1), size)
    # Source after source: an einsum of complex tensors is many times slower.
    total = spectra[:, None, 0] * response[:, 0, None]
    for w in range(1, x.shape[1]):
        total.addcmul_(spectra[:, None, w], response[:, w, None])
    y = torch.fft.irfft(total, size)[..., taps - 1 :]
    return y.flatten(-2)[..., :samples]


def ancestors(plan: Plan, values: set[int], known: set[int]) -> set[int]:
    ancestors: set[int] = set()
    stack = list(values - known)
    while stack:
        sources = set(plan.step(stack.pop()).spans()) - known - ancestors
        ancestors |= sources
        stack += sources
    return ancestors
