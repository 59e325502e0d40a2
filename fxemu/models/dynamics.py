"""A predictor for dynamics: a gain on dry, in decibels, from followers that rise and fall at rates of their own."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fxemu.engine.plan import Activation, Plan, Product, Term
from fxemu.models.base import Predictor
from fxemu.models.fits import dynamics
from fxemu.models.fits.dynamics import LEVEL, UNIT_DB

# Levels and gains lie within +-1, so what follows them has no business far beyond.
BOUND = Activation("clamp", 2.0)
DECAY, RELU = Activation("decay"), Activation("relu")
NEPERS = UNIT_DB / 20 * math.log(10)
# Share of the error of the last gain that is corrected in a sample.
CORRECTION = 0.1


class Dynamics(Predictor):
    """wet = dry * 10^(gain_db / 20), the gain being a static curve between followers (units: 80 dB):

        follow(h, x) = h + up relu(x - h) - down relu(h - x)         two rates, learned, each follower its own
        level'       = follow(level, level of dry)                   detector
        wanted       = sum over j of bend_j relu(level' + loop reduction - knee_j)
        held'        = follow(held, wanted)                          attack at once and release, or both
        reduction'   = follow(reduction, held')                      smoothing
        gain         = makeup - reduction'

    which is the form of Giannoulis, Massberg & Reiss (2012), "Digital dynamic range compressor design": detectors that
    branch or are decoupled, feed-forward or (loop = -1) feedback. With feedback it is an observer: while true
    samples are fed back it corrects its reduction by the error of its last gain; in a free run there is nothing to
    correct. All of it is fitted to the training songs (`fit`), so use it with `training=closed_form`; rollouts can
    start from there. Takes and makes plain samples: `repr=raw` only.

    Args:
        channels, params: 1 each.
        knees: of the static curve, J, 1 to 64.
        max_gain_db: the highest gain, 0 to 60 dB.
        memory_samples: true samples seen before a prediction counts in training, at least 1.
        feedback: False for the control without feedback.
    """

    plain_samples = True
    closed_form = True

    def __init__(
        self,
        channels: int = 1,
        params: int = 1,
        knees: int = 8,
        max_gain_db: float = 24.0,
        memory_samples: int = 4096,
        feedback: bool = True,
    ) -> None:
        super().__init__()
        if not 1 <= knees <= 64 or memory_samples < 1 or not 0 <= max_gain_db <= 60:
            raise ValueError(
                f"Dynamics: got knees {knees}, memory_samples {memory_samples}, max_gain_db {max_gain_db}; "
                "allowed are knees from 1 to 64, memory_samples from 1, and max_gain_db from 0 to 60"
            )
        self.feedback, self.receptive_field = feedback, memory_samples + 1
        self.max_gain = 10 ** (max_gain_db / 20)
        # In the order of `fits/dynamics.py`.
        self.rates = nn.Parameter(torch.empty(3, 2))
        self.loop = nn.Parameter(torch.empty(1))
        self.knee, self.bend = nn.Parameter(torch.empty(knees)), nn.Parameter(torch.empty(knees))
        self.makeup = nn.Parameter(torch.empty(1))
        self._set(dynamics.start(knees, up=0.2, down=4000.0, smoothing=30.0, loop=0.0))

    def _set(self, theta: Sequence[float]) -> None:
        nn.utils.vector_to_parameters(torch.as_tensor(theta, dtype=torch.float32), self.parameters())

    @torch.no_grad()
    def fit(self, songs: Sequence[tuple[Tensor, Tensor]], iterations: int = 40) -> None:
        """Fit all parameters to the gain of the songs, (dry, wet) of (samples,) each, in a minute or two."""
        self._set(dynamics.fit(songs, self.knee.numel(), iterations))

    def plan(self, plan: Plan, dry: int, wet: int) -> int:
        level, held, reduction, previous = (plan.state(1) for _ in range(4))
        before = held, reduction
        if self.feedback:
            fed_level, own_level = (plan.mix(Product((x, x)), activation=LEVEL) for x in (wet, previous))
            off = Product((own_level,), CORRECTION), Product((fed_level,), -CORRECTION)
            before = tuple(plan.mix(Product((x,)), *off, activation=BOUND) for x in before)
        detected = self._plan_follow(plan, 0, level, plan.mix(Product((dry, dry)), activation=LEVEL))
        terms = Term(detected, torch.ones_like(self.knee)[:, None, None]), Term(before[1], self._looped())
        over = plan.add(*terms, bias=-self.knee, activation=RELU)
        wanted = plan.add(Term(over, self.bend[None, :, None]), activation=BOUND)
        holding = self._plan_follow(plan, 1, before[0], wanted)
        reducing = self._plan_follow(plan, 2, before[1], holding)
        bias = NEPERS * self.makeup - math.log(self.max_gain)
        gain = plan.add(Term(reducing, self.makeup.new_full((1, 1, 1), -NEPERS)), bias=bias, activation=DECAY)
        prediction = plan.mix(Product((dry, gain), self.max_gain))
        for state, value in ((level, detected), (held, holding), (reduction, reducing), (previous, prediction)):
            plan.close(state, value)
        return prediction

    def _looped(self) -> Tensor:
        """The weight of the reduction at each knee: (J, 1, 1)."""
        return self.loop.expand(self.knee.numel())[:, None, None]

    def _plan_follow(self, plan: Plan, i: int, h: int, x: int) -> int:
        up, down = self.rates[i].sigmoid()
        change = plan.mix(Product((x,)), Product((h,), -1.0))
        rise = plan.mix(Product((change,)), activation=RELU)
        return plan.mix(Product((h,)), Product((change,), down[None]), Product((rise,), (up - down)[None]))
