"""Linear recurrent units: layers of states that decay and turn, each at its own rate, with gates between them.

After Orvieto et al. 2023, "Resurrecting recurrent neural networks for long sequences" (LRU), and Gu et al. 2022, "On
the parameterization and initialization of diagonal state space models" (S4D). Here the time constants start evenly
spread over octaves, an angle is counted in time constants, and the first layer reads a window of samples.

Shapes: B batch, T samples, W width, N states.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fxemu.engine.activations import activate
from fxemu.engine.plan import IDENTITY, SIGMOID, TANH, Plan, Product, Term
from fxemu.errors import check_least
from fxemu.models.base import Predictor
from fxemu.models.parts.pointwise import Pointwise
from fxemu.models.parts.scan import scan

# Time constants in a sample: beyond that nothing is left of the sample before, and a pole of 0 has no logarithm.
FASTEST = 20.0


class LRU(Predictor):
    """A window over dry and fed-back wet samples, layers of linear recurrent units, a tanh layer, and a filter on dry.

        wet[t] = out(tanh(hidden(x))) + 2 sigmoid(gain(x)) filter(dry),    x the output of the last layer

    Linear recurrences can be computed for all times at once, so that teacher forcing over long segments is cheap; free
    runs go sample by sample. The states remember the past at all resolutions from `shortest` to `longest`.

    Args:
        channels: feature channels a sample (C), set by the input representation.
        params: parameters of the next sample (P), set by the output representation.
        width: units between the layers, at least 1.
        states: complex states of a layer, at least 1.
        layers: at least 1.
        window: dry and wet samples that are seen directly, and taps of the filter on dry; at least 1.
        shortest, longest: time constants of the states at the start of training, in samples, at least 1.
        memory_samples: true samples seen before a prediction counts in training, at least `window`.
        feedback: False for the control that sees no wet samples.
    """

    vectorised, last_bias = True, "out.bias"

    def __init__(
        self,
        channels: int,
        params: int,
        width: int = 16,
        states: int = 16,
        layers: int = 1,
        window: int = 32,
        shortest: float = 44.0,
        longest: float = 44_100.0,
        memory_samples: int = 2048,
        feedback: bool = True,
    ) -> None:
        super().__init__()
        check_least(1, width=width, states=states, layers=layers, window=window, shortest=shortest)
        check_least(shortest, longest=longest)
        check_least(window, memory_samples=memory_samples)
        self.channels, self.feedback, self.receptive_field = channels, feedback, memory_samples + 1
        self.first = nn.Conv1d(channels * (2 if feedback else 1), width, window)
        self.layers = nn.ModuleList(_Layer(width, states, shortest, longest) for _ in range(layers))
        self.hidden = Pointwise(width, width)
        self.out = Pointwise(width, params)
        self.gain = Pointwise(width, params)
        self.skip = nn.Conv1d(channels, params, window, bias=False)
        # Start with a weak loop, so that the first free runs stay bounded.
        self.first.weight.data[:, channels:].mul_(0.3)

    def forward(self, dry: Tensor, wet: Tensor) -> Tensor:
        """The states are zero at the first sample given, at least `memory_samples` before the first prediction."""
        seen = F.pad(self._seen(dry, F.pad(wet, (1, -1))), (self.first.kernel_size[0] - 1, 0))
        x = activate(self.first(seen), TANH)
        for layer in self.layers:
            x = layer.read(x, scan(layer.driven(x), layer.pole()))
        return self._output(x, seen)[..., self.receptive_field - 1 :]

    def _seen(self, dry: Tensor, wet: Tensor) -> Tensor:
        return torch.cat((dry, wet), dim=1) if self.feedback else dry

    def _output(self, x: Tensor, seen: Tensor) -> Tensor:
        gained = 2 * activate(self.gain(x), SIGMOID) * self.skip(seen[:, : self.channels])
        return self.out(activate(self.hidden(x), TANH)) + gained

    def plan(self, plan: Plan, dry: int, wet: int) -> int:
        terms = [Term(dry, self.first.weight[:, : self.channels])]
        if self.feedback:
            terms.append(Term(wet, self.first.weight[:, self.channels :]))
        x = plan.add(*terms, bias=self.first.bias, activation=TANH)
        for layer in self.layers:
            x = layer.plan(plan, x)
        hidden = plan.add(Term(x, self.hidden.weight), bias=self.hidden.bias, activation=TANH)
        output = plan.add(Term(hidden, self.out.weight), bias=self.out.bias)
        gain = plan.add(Term(x, self.gain.weight), bias=self.gain.bias, activation=SIGMOID)
        return plan.mix(Product((output,)), Product((gain, plan.add(Term(dry, self.skip.weight))), 2.0))


class _Layer(nn.Module):
    """x + value * sigmoid(gate), both linear in x and in the states z[t] = pole z[t-1] + driven(x[t])."""

    def __init__(self, width: int, states: int, shortest: float, longest: float) -> None:
        super().__init__()
        # The logarithm of the inverse time constant, and radians that a state turns in one.
        time_constants = torch.logspace(math.log10(shortest), math.log10(longest), states)
        self.rate = nn.Parameter(-time_constants.log())
        self.turn = nn.Parameter(torch.arange(states) % 4.0)
        self.into = Pointwise(width, 2 * states, bias=False)
        self.states = Pointwise(2 * states, 2 * width, bias=False)
        self.own = Pointwise(width, 2 * width)

    def pole(self) -> Tensor:
        """(N,), complex."""
        rate = self.rate.exp().clamp_max(FASTEST)
        return torch.complex(-rate, rate * self.turn).exp()

    def _normalised(self) -> Tensor:
        """Weights from x to the states' real and imaginary parts (2 N, W, 1), as a constant is to come out of them.

        Orvieto et al. keep the level of white noise; a constant would then be hundreds of times as loud in slow states,
        and keep rising for longer than any segment that is trained on.
        """
        return self.into.weight * (1 - self.pole().abs()).repeat(2)[:, None, None]

    def driven(self, x: Tensor) -> Tensor:
        """Inputs of the states, (N, B, T), complex, from x (B, W, T)."""
        return torch.complex(*torch.einsum("nw,bwt->nbt", self._normalised()[..., 0], x).chunk(2))

    def read(self, x: Tensor, z: Tensor) -> Tensor:
        """x (B, W, T) with states z (N, B, T) to the next layer's x (B, W, T)."""
        states = torch.einsum("un,nbt->but", self.states.weight[..., 0], torch.cat((z.real, z.imag)))
        value, gate = (self.own(x) + states).chunk(2, dim=1)
        return x + value * activate(gate, SIGMOID)

    def plan(self, plan: Plan, x: int) -> int:
        units, pole = self.rate.numel(), self.pole()
        re, im = plan.state(units), plan.state(units)
        into_re, into_im = (plan.add(Term(x, weight)) for weight in self._normalised().chunk(2))
        next_re = plan.mix(Product((re,), pole.real), Product((im,), -pole.imag), Product((into_re,)))
        next_im = plan.mix(Product((im,), pole.real), Product((re,), pole.imag), Product((into_im,)))
        plan.close(re, next_re)
        plan.close(im, next_im)
        halves = zip(self.own.weight.chunk(2), self.states.weight.chunk(2), self.own.bias.chunk(2), strict=True)
        value, gate = (
            plan.add(
                Term(x, own),
                Term(next_re, states[:, :units]),
                Term(next_im, states[:, units:]),
                bias=bias,
                activation=activation,
            )
            for (own, states, bias), activation in zip(halves, (IDENTITY, SIGMOID), strict=True)
        )
        return plan.mix(Product((x,)), Product((value, gate)))
