"""Predictors for tests: every family, small; one sample after the other; the readable free run."""

from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import pad

from fxemu.engine.control import input_signals
from fxemu.engine.plan import DRY, WET, Plan
from fxemu.engine.steady_state import steady_state
from fxemu.engine.step import Stepper, step_by_step
from fxemu.models import (
    GRU,
    LRU,
    LSTM,
    MLP,
    ConvNet,
    Dynamics,
    Linear,
    OctaveGain,
    Oscillator,
    PeriodicFilter,
    Predictor,
    WaveNet,
)
from fxemu.models.closed_loop import ClosedLoop
from fxemu.representations import Raw


def echoing(predictor: OctaveGain) -> OctaveGain:
    """The predictor with two echoes of the three that it could have, the first one as soon as can be."""
    predictor.lags.copy_(torch.tensor([1, 9, 0]))
    torch.nn.init.normal_(predictor.taps, std=0.1)
    return predictor


def filtering(predictor: GRU) -> GRU:
    """The predictor with some filter."""
    torch.nn.init.normal_(predictor.filter, std=0.3)
    return predictor


def in_full(predictor: Dynamics) -> Dynamics:
    """The predictor with what it has only where a fit finds it: low-passes in its key, and a slow stage."""
    predictor.key.data.copy_(torch.tensor([-0.6, 0.3]))
    predictor.slow.data.fill_(0.4)
    predictor.slow_rates.data.copy_(torch.tensor([-2.0, -4.0]))
    for parameter in (predictor.slow, predictor.slow_rates):
        parameter.requires_grad_()
    return predictor


OCTAVE_GAIN = {"context_window": 12, "width": 6, "octaves": 4, "echoes": 3, "echo_taps": 4, "memory_samples": 40}
# Each family, small.
MODELS = {
    "mlp": partial(MLP, context_window=32, feedback_window=16, layers=2, width=8),
    "lstm": partial(LSTM, width=5, memory_samples=40),
    "gru": partial(GRU, width=5, memory_samples=40),
    "lru": partial(LRU, width=5, states=4, layers=2, window=8, longest=200.0, memory_samples=40),
    "wavenet": partial(WaveNet, width=4, dilations=[1, 2, 5]),
    "convnet": partial(ConvNet, width=4, dilations=[1, 2, 5]),
    "dynamics": lambda *sizes, **more: in_full(Dynamics(*sizes, **{"knees": 3, "memory_samples": 40, **more})),
    "oscillator": partial(Oscillator, harmonics=3, memory_samples=40),
    "periodic_filter": partial(PeriodicFilter, context_window=6, rank=3, harmonics=4, memory_samples=40),
    "octave_gain": lambda *sizes, **more: echoing(OctaveGain(*sizes, **{**OCTAVE_GAIN, **more})),
    "linear": partial(Linear, context_window=32, feedback_window=16),
}
# The same in other shapes.
VARIANTS = {
    "mlp, relu, embedding": partial(MODELS["mlp"], activation="relu", embedding=3, dry_skip=3),
    "mlp, softsign, no skip": partial(MODELS["mlp"], activation="softsign", dry_skip=0),
    "gru, no skip": partial(MODELS["gru"], dry_skip=False),
    "gru, filter": lambda *sizes, **more: filtering(
        GRU(*sizes, **{"width": 5, "memory_samples": 40, **more}, filter_taps=12)
    ),
    "convnet, kernel of 3": partial(ConvNet, width=4, kernel=3, dilations=[1, 3], activation="sigmoid"),
    "linear, more feedback": partial(Linear, context_window=3, feedback_window=9),
    "periodic filter, two rates": partial(MODELS["periodic_filter"], rates=2),
    "wavenet, gated, one array": partial(WaveNet, width=4, arrays=1, kernel=2, dilations=[1, 3], gated=True),
}


def make(name: str, channels: int = 1, params: int = 1, **arguments: object) -> Predictor:
    """A small predictor, the same every time, with other arguments where given."""
    torch.manual_seed(0)
    return {**MODELS, **VARIANTS}[name](channels, params, **arguments)


# The parameter that multiplies fed-back wet samples; in some after a column for dry.
WET_WEIGHTS = {
    "mlp": "wet.weight",
    "linear": "wet.weight",
    "octave_gain": "taps",
    "dynamics": "bend",
    "oscillator": "amplitude",
    "periodic_filter": "mixing",
    "periodic filter, two rates": "mixing",
}
BESIDE_DRY = {
    "lstm": "recurrent.weight_ih_l0",
    "gru": "recurrent.weight_ih_l0",
    "lru": "first.weight",
    "convnet": "layers.0.weight",
    "wavenet": "arrays.0.rechannel.weight",
}


def wet_weights(predictor: Predictor, name: str) -> Tensor:
    """The weights on fed-back wet samples of a predictor of plain samples, as a view."""
    if name in WET_WEIGHTS:
        return predictor.get_parameter(WET_WEIGHTS[name]).data
    return predictor.get_parameter(BESIDE_DRY[name]).data[:, 1:]


def stepped(model: Predictor, dry: Tensor, wet: Tensor) -> Tensor:
    """The plan sample by sample over dry and wet (B, C, T), from silence and with the wet sample before: (B, P, T)."""
    plan = Plan(channels=dry.shape[1])
    params = model.plan(plan, DRY, WET)
    return step_by_step(plan, {DRY: dry, WET: pad(wet, (1, -1))}, params)


def free_run(loop: ClosedLoop, dry: Tensor, history: Tensor | None = None, knobs: Tensor | None = None) -> Tensor:
    """Feed the predictor its own output alone, one sample at a time, with gradient through all of it.

    Args:
        loop: the predictor and its representations.
        dry: (B, 1, H + K).
        history: true wet samples (B, 1, H) that prime the run; None to begin at rest, as a stream does.
        knobs: of a model that has K, (B, K, H + K'), or (B, K, K') without a history, before which they stand still.

    Returns:
        the prediction (B, 1, K), within +-limit. What a recurrent predictor remembers of the history is taken as
        given: no gradient flows through it.
    """
    stepper, predicted = Stepper(loop.plan()), []
    given = input_signals(stepper.plan, dry, knobs)
    if history is None:
        rest = steady_state(loop, stepper.plan, None if knobs is None else knobs[0, :, 0])
        state = [rest[v][None, :, None].expand(dry.shape[0], -1, stepper.past[v]) for v in stepper.remembered]
        history = dry[..., :0]
    else:
        state = stepper.silent(dry[..., 0])
    last = stepper.plan.last
    recurrent, early = bool(stepper.plan.hidden_states()), stepper.plan.feedforward()
    for t in range(dry.shape[-1]):
        values, state = stepper({value: x[..., t] for value, x in given.items()}, state)
        if t >= history.shape[-1]:
            predicted.append(values[last])
            continue
        if last in stepper.remembered:
            place = stepper.remembered.index(last)
            state[place] = torch.cat((state[place][..., :-1], history[..., t : t + 1]), dim=-1)
        if recurrent:
            state = [x if v in early else x.detach() for v, x in zip(stepper.remembered, state, strict=True)]
    return torch.stack(predicted, dim=-1)


def one_pole(pole: float, gain: float = 0.1, bias: float = 0.0) -> ClosedLoop:
    """y[t] = gain x[t] + pole y[t-1] + bias."""
    loop = ClosedLoop(Linear(1, 1, 1, 1), Raw(), Raw())
    with torch.no_grad():
        loop.predictor.wet.weight.fill_(pole)
        loop.predictor.dry.weight.fill_(gain)
        loop.predictor.dry.bias.fill_(bias)
    return loop
