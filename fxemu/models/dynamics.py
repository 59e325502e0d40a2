"""A predictor for dynamics: a gain on dry, from states that follow the levels at rates of their own choosing."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from fxemu.activations import activate
from fxemu.models.base import Predictor
from fxemu.plan import Activation, Plan, Product, Term

# Energies on a scale from -80 dB (0) to full scale (1): a compander is a logarithm with a floor.
LEVEL = Activation("mulaw_compress", 1e8)
# Levels lie between 0 and 1, so what follows them has no business far beyond.
BOUND = Activation("clamp", 2.0)
DECAY, RELU = Activation("decay"), Activation("relu")
State = tuple[Tensor, ...]


class Dynamics(Predictor):
    """wet = dry * gain, the gain being a function of states that move towards targets, fast or slowly.

    From the levels l (of the present sample and of running averages, on a scale of 80 dB) and the states h before,

        u    = relu(A [l; h])                                    what is going on
        h'   = h + exp(min(0, B [l; h; u])) (C [l; h; u] - h)    attack, hold and release are rates
        gain = max_gain * exp(min(0, D [h'; relu(E h')]))        the static curve

    (biases left out; C [..] is held within +-2),
    which is the form of Giannoulis, Massberg & Reiss (2012), "Digital dynamic range compressor design", with its
    detector, curve and ballistics learned. Takes and makes plain samples: `repr=raw` only.

    Args:
        channels, params: 1 each.
        states: S, at least 1.
        width: units of u, at least 1.
        averages: running averages of the energy as further levels, over 64, 128, 256, ... samples; 0 to 12.
        max_gain_db: the highest gain, 0 to 60 dB.
        memory_samples: true samples heard before a prediction counts in training, at least 1.
        feedback: False for the control that hears no levels of its own output.
    """

    plain_samples = True

    def __init__(
        self,
        channels: int = 1,
        params: int = 1,
        states: int = 4,
        width: int = 16,
        averages: int = 0,
        max_gain_db: float = 24.0,
        memory_samples: int = 8192,
        feedback: bool = True,
    ) -> None:
        super().__init__()
        if min(states, width - states, memory_samples) < 1 or not 0 <= averages <= 12 or not 0 <= max_gain_db <= 60:
            raise ValueError(
                f"Dynamics: got states {states}, width {width}, memory_samples {memory_samples}, averages {averages}, "
                f"max_gain_db {max_gain_db}; allowed are states and memory_samples from 1, width above states, "
                "averages 0 to 12, and max_gain_db 0 to 60"
            )
        self.feedback, self.states, self.averages = feedback, states, averages
        self.receptive_field = memory_samples + 1
        self.max_gain = 10 ** (max_gain_db / 20)
        seen = (1 + averages) * (2 if feedback else 1) + states
        self.unit = nn.Linear(seen, width)
        self.rate, self.target = nn.Linear(seen + width, states), nn.Linear(seen + width, states)
        self.curve, self.gain = nn.Linear(states, width), nn.Linear(states + width, 1)
        # Shares of the present energy in averages over 64, 128, ... samples.
        self.register_buffer("share", 2.0 ** -torch.arange(6.0, 6 + averages), persistent=False)
        self._follow_peaks()

    @torch.no_grad()
    def _follow_peaks(self) -> None:
        """Start as followers of the peaks of dry, released in 20 ms to 0.5 s, and averages of these; a gain of 1."""
        followers = (self.states + 1) // 2
        for i in range(followers):
            # A unit that is the level above the state makes it rise at once.
            self.unit.weight[i], self.unit.bias[i] = 0.0, 0.0
            self.unit.weight[i, 0], self.unit.weight[i, i - self.states] = 1.0, -1.0
        for layer in (self.rate, self.target):
            layer.weight.mul_(0.05)
            layer.bias.zero_()
        releases = torch.logspace(3, 4.3, followers).log()
        averages = torch.logspace(1.5, 3, self.states - followers).log()
        self.rate.bias.copy_(-torch.cat((releases, averages)))
        first = self.unit.in_features - self.states
        for i in range(self.states):
            if i < followers:
                self.rate.weight[i, self.unit.in_features + i] = 1000.0
                self.target.weight[i, 0] = 1.0
            else:
                self.target.weight[i, first + i - followers] = 1.0
        self.gain.weight.mul_(0.1)
        self.gain.bias.fill_(-math.log(self.max_gain))

    def initial_state(self, batch: int) -> State:
        """Averages of dry and, with feedback, wet energy (B, averages), and the states (B, S): all 0."""
        averages = [self.share.new_zeros(batch, self.averages)] * (2 if self.feedback else 1)
        return *averages, self.gain.weight.new_zeros(batch, self.states)

    def step(self, dry: Tensor, wet: Tensor, state: State) -> tuple[Tensor, State]:
        *averages, own = state
        heard = (dry, wet) if self.feedback else (dry,)
        followed = [a + self.share * (x.square() - a) for a, x in zip(averages, heard, strict=True)]
        energies = [torch.cat((x.square(), a), dim=1) for x, a in zip(heard, followed, strict=True)]
        seen = torch.cat((activate(torch.cat(energies, dim=1), LEVEL), own), dim=1)
        seen = torch.cat((seen, activate(self.unit(seen), RELU)), dim=1)
        own = own + activate(self.rate(seen), DECAY) * (activate(self.target(seen), BOUND) - own)
        gain = self.gain(torch.cat((own, activate(self.curve(own), RELU)), dim=1))
        return dry * self.max_gain * activate(gain, DECAY), (*followed, own)

    def plan(self, plan: Plan, dry: int, wet: int) -> int:
        levels = [v for x in ([dry, wet] if self.feedback else [dry]) for v in self._plan_levels(plan, x)]
        own = plan.state(self.states)
        seen = [*levels, own]
        u = plan.add(*_terms(plan, self.unit, seen), bias=self.unit.bias, activation=RELU)
        rate = plan.add(*_terms(plan, self.rate, [*seen, u]), bias=self.rate.bias, activation=DECAY)
        target = plan.add(*_terms(plan, self.target, [*seen, u]), bias=self.target.bias, activation=BOUND)
        following = plan.mix(Product((own,)), Product((rate, own), -1.0), Product((rate, target)))
        plan.close(own, following)
        curve = plan.add(*_terms(plan, self.curve, [following]), bias=self.curve.bias, activation=RELU)
        gain = plan.add(*_terms(plan, self.gain, [following, curve]), bias=self.gain.bias, activation=DECAY)
        return plan.mix(Product((dry, gain), self.max_gain))

    def _plan_levels(self, plan: Plan, x: int) -> list[int]:
        """The level of a signal, and those of its averages."""
        energy = plan.mix(Product((x, x)))
        level = plan.mix(Product((energy,)), activation=LEVEL)
        if not self.averages:
            return [level]
        average = plan.state(self.averages)
        given = plan.add(Term(energy, self.share[:, None, None]))
        following = plan.mix(Product((average,), 1 - self.share), Product((given,)))
        plan.close(average, following)
        return [level, plan.mix(Product((following,)), activation=LEVEL)]


def _terms(plan: Plan, layer: nn.Linear, values: list[int]) -> list[Term]:
    """The terms of a linear layer over several values, one after another."""
    parts = layer.weight.split([plan.width(value) for value in values], dim=1)
    return [Term(value, part[..., None]) for value, part in zip(values, parts, strict=True)]
