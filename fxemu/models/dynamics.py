"""A predictor for dynamics: a gain on dry, in decibels, from followers that rise and fall at rates of their own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fxemu.engine.plan import DECAY, Activation, Plan, Product, Term
from fxemu.models.base import Predictor
from fxemu.models.fits import dynamics
from fxemu.models.fits.dynamics_chain import FOLLOWERS, LOWPASSES, MOST_REDUCTION, UNIT_DB
from fxemu.models.fits.dynamics_starts import start
from fxemu.models.fits.dynamics_steps import AT_ONCE
from fxemu.models.parts.conditioned_dynamics import LARGEST, ConditionedDynamics, Numbers
from fxemu.models.parts.octaves import LEVEL

BOUND = Activation("clamp", MOST_REDUCTION)
RELU = Activation("relu")
NEPERS = UNIT_DB / 20 * math.log(10)
# Share of the error of the last gain that is corrected in a sample.
CORRECTION = 0.1
# The factor over the highest gain in the songs that were fitted beyond which it is not followed: a curve that is steep
# where they end would go anywhere.
BEYOND = 1.25
MOST_TAPS = 2**16


class Dynamics(Predictor):
    """wet = dry * 10^(gain_db / 20), the gain being a static curve between followers (units: 80 dB):

        follow(h, x) = h + up relu(x - h) - down relu(h - x)         two rates, learned, each follower its own
        key          = dry + sum over two i of key_i lowpass_i(dry)  a high-pass or a band before the detector, or none
        envelope'    = follow(envelope, |key|)                       rise and fall of the amplitude
        level'       = follow(level, level of envelope')             detector
        wanted       = sum over j of bend_j relu(level' + loop reduction - knee_j), within +-2
        held'        = follow(held, wanted)                          attack at once and release, or both
        smooth'      = follow(smooth, held')                         smoothing
        slow'        = follow(slow, held')                           a second, slow stage, or none
        reduction'   = smooth' + weight slow'
        gain         = makeup - reduction'

    which is the form of Giannoulis, Massberg & Reiss (2012), "Digital dynamic range compressor design": detectors that
    branch or are decoupled, of amplitude or of level, feed-forward or (loop < 0) feedback; beyond it are the key and
    the slow stage, by which optical compressors come back in two steps. With feedback it is an observer: while true
    samples are fed back it corrects its reduction by the error of its last gain; in a free run there is nothing to
    correct. All of it is fitted to the training songs (`fit`), so use it with
    `training=closed_form`; rollouts can start from there. What sounds may also be dry through a filter, as that of a
    box's transformers. Takes and makes plain samples: `repr=raw` only.

    Args:
        channels, params: 1 each.
        knees: of the static curve, J, 1 to 64.
        max_gain_db: the highest gain, 0 to 60 dB; after a fit without knobs at most 2 dB above that in its songs.
        memory_samples: true samples seen before a prediction counts in training, at least 1.
        taps: of the filter, 0 for none.
        feedback: False for the control without feedback.
    """

    plain_samples = True
    closed_form = True
    conditioning = ConditionedDynamics

    def __init__(
        self,
        channels: int = 1,
        params: int = 1,
        knees: int = 8,
        max_gain_db: float = 60.0,
        memory_samples: int = 4096,
        taps: int = 0,
        feedback: bool = True,
    ) -> None:
        super().__init__()
        if not 1 <= knees <= 64 or memory_samples < 1 or not 0 <= max_gain_db <= 60 or not 0 <= taps <= MOST_TAPS:
            raise ValueError(
                f"Dynamics: got knees {knees}, memory_samples {memory_samples}, max_gain_db {max_gain_db}, "
                f"taps {taps}; allowed are knees from 1 to 64, memory_samples from 1, max_gain_db from 0 to 60, and "
                f"taps up to {MOST_TAPS}"
            )
        self.feedback, self.receptive_field = feedback, max(memory_samples + 1, taps)
        self.allowed_gain = 10 ** (max_gain_db / 20)
        self.register_buffer("max_gain", torch.tensor(self.allowed_gain))
        # In the order of `fits/dynamics_chain.py`.
        self.rates = nn.Parameter(torch.empty(FOLLOWERS, 2))
        self.key_rates, self.slow_rates = nn.Parameter(torch.empty(LOWPASSES)), nn.Parameter(torch.empty(2))
        self.loop = nn.Parameter(torch.empty(1))
        self.key, self.slow = nn.Parameter(torch.empty(LOWPASSES)), nn.Parameter(torch.empty(1))
        self.knee, self.bend = nn.Parameter(torch.empty(knees)), nn.Parameter(torch.empty(knees))
        self.makeup = nn.Parameter(torch.empty(1))
        self._set(start(knees, hold=(0.2, 4000.0), smoothing=30.0))
        # Oldest tap first.
        self.filter = nn.Parameter(torch.eye(1, taps)[0].flip(0)) if taps else None

    def of_this_version(self, weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
        """Weights from before there was an envelope, a key or a slow stage have none: |dry| at once, dry, nothing.

        From before a fit set the highest gain, it is the one allowed.
        """
        rates = weights.get(f"{prefix}rates")
        if rates is None:
            return dict(weights)
        none = {"key": (LOWPASSES,), "key_rates": (LOWPASSES,), "slow": (1,), "slow_rates": (2,)}
        earlier = {f"{prefix}{name}": rates.new_zeros(shape) for name, shape in none.items()}
        earlier[f"{prefix}max_gain"] = rates.new_tensor(self.allowed_gain)
        if len(rates) == FOLLOWERS - 1:
            return earlier | {**weights, f"{prefix}rates": torch.cat((rates.new_full((1, 2), AT_ONCE), rates))}
        return earlier | dict(weights)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *more: Any) -> None:
        """Those of earlier versions too."""
        state_dict |= self.of_this_version(state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *more)
        self._learn_slow_stage_if_any()

    def _learn_slow_stage_if_any(self) -> None:
        """A stage without a weight is no part of the plan, and has no gradient."""
        if self.slow.is_meta:
            return  # a reader of saved models asks for the shapes alone
        for parameter in (self.slow, self.slow_rates):
            parameter.requires_grad_(bool(self.slow.any()))

    def chain(self) -> list[nn.Parameter]:
        """The parameters of the chain, in the order of `fits/dynamics_chain.py`."""
        key, curve = (self.loop, self.key), (self.knee, self.bend, self.makeup)
        return [self.rates, self.key_rates, self.slow_rates, *key, self.slow, *curve]

    def _set(self, theta: Sequence[float]) -> None:
        nn.utils.vector_to_parameters(torch.as_tensor(theta, dtype=torch.float32), self.chain())
        self._learn_slow_stage_if_any()

    @torch.no_grad()
    def fit(
        self, songs: Sequence[tuple[Tensor, Tensor]], iterations: int = 40, features: Tensor | None = None
    ) -> Tensor:
        """Fit all parameters to the gain of the songs, (dry, wet) of (samples,) each, in a minute or two.

        Returns:
            what the knobs, given by features (songs, F), move: (MOVED, F).
        """
        taps = 0 if self.filter is None else self.filter.numel()
        given = None if features is None else features.double().numpy()
        found = dynamics.fit(songs, self.knee.numel(), taps, iterations, given)
        self._set(found.theta)
        if features is None:
            self.max_gain.clamp_(max=BEYOND * found.highest)
        if self.filter is not None:
            self.filter.copy_(found.taps.flip(0))
        return torch.from_numpy(found.moves)

    def plan(self, plan: Plan, dry: int, wet: int) -> int:
        return self.plan_with(plan, dry, wet, self.numbers())

    def numbers(self) -> Numbers:
        """What it computes with, unless knobs move it."""
        up, down = self.rates.sigmoid().T
        return Numbers(up[:, None], down[:, None], self.loop, self.start())

    @property
    def unit(self) -> float:
        """The logarithm of the factor that is a unit of gain."""
        return NEPERS

    def start(self) -> Tensor:
        """The logarithm of the gain where nothing is reduced, over the highest gain: (1,)."""
        return NEPERS * self.makeup - self.max_gain.log()

    def plan_with(self, plan: Plan, dry: int, wet: int, numbers: Numbers) -> int:
        """Append one step that computes with the given numbers in place of its own; as `plan`."""
        low, envelope, level, held, smooth, previous = (plan.state(n) for n in (LOWPASSES, 1, 1, 1, 1, 1))
        before = held, smooth
        if self.feedback:
            fed_level, own_level = (plan.mix(Product((x, x)), activation=LEVEL) for x in (wet, previous))
            off = Product((own_level,), CORRECTION), Product((fed_level,), -CORRECTION)
            before = tuple(plan.mix(Product((x,)), *off, activation=BOUND) for x in before)
        lowering, key = self._plan_key(plan, dry, low)
        enveloping = _follow(plan, numbers.of(0), envelope, _plan_amplitude(plan, key, self.knee))
        now = plan.mix(Product((enveloping, enveloping)), activation=LEVEL)
        detected = _follow(plan, numbers.of(1), level, now)
        slow = plan.state(1) if self.slow.any() else None
        wanted = self._plan_curve(plan, numbers, detected, self._plan_whole(plan, before[1], slow))
        holding = _follow(plan, numbers.of(2), before[0], wanted)
        smoothing = _follow(plan, numbers.of(3), before[1], holding)
        slowing = None if slow is None else _follow(plan, tuple(self.slow_rates.sigmoid().split(1)), slow, holding)
        gain = self._plan_gain(plan, numbers, self._plan_whole(plan, smoothing, slowing))
        amplified = dry if self.filter is None else plan.add(Term(dry, self.filter[None, None]))
        prediction = plan.mix(Product((amplified, gain), float(self.max_gain)))
        after = lowering, enveloping, detected, holding, smoothing, prediction
        for state, value in zip((low, envelope, level, held, smooth, previous), after, strict=True):
            plan.close(state, value)
        if slow is not None:
            plan.close(slow, slowing)
        return prediction

    def _plan_whole(self, plan: Plan, smooth: int, slow: int | None) -> int:
        """All of the reduction."""
        return smooth if slow is None else plan.mix(Product((smooth,)), Product((slow,), self.slow))

    def _plan_key(self, plan: Plan, dry: int, low: int) -> tuple[int, int]:
        """What the envelope is of: low-passes of dry one sample on, and dry with their weighted sum."""
        rates = self.key_rates.sigmoid()
        lowering = plan.add(Term(dry, rates[:, None, None]), Term(low, torch.diag(1 - rates)[..., None]))
        return lowering, plan.add(Term(dry, rates.new_ones(1, 1, 1)), Term(lowering, self.key[None, :, None]))

    def _plan_curve(self, plan: Plan, numbers: Numbers, level: int, reduction: int) -> int:
        """The reduction that is wanted at a level."""
        shift = () if numbers.threshold is None else (Product((numbers.threshold,), -1.0),)
        level = plan.mix(Product((level,)), _times(numbers.loop, reduction), *shift)
        over = plan.add(Term(level, torch.ones_like(self.knee)[:, None, None]), bias=-self.knee, activation=RELU)
        steep = Term(over, self.bend[None, :, None])
        if numbers.steepness is None:
            return plan.add(steep, activation=BOUND)
        return plan.mix(Product((plan.add(steep), numbers.steepness), LARGEST), activation=BOUND)

    def _plan_gain(self, plan: Plan, numbers: Numbers, reduction: int) -> int:
        """The gain, over the highest."""
        if isinstance(numbers.makeup, int):
            return plan.mix(Product((numbers.makeup,)), Product((reduction,), -NEPERS), activation=DECAY)
        return plan.add(
            Term(reduction, self.makeup.new_full((1, 1, 1), -NEPERS)), bias=numbers.makeup, activation=DECAY
        )


def _plan_amplitude(plan: Plan, x: int, like: Tensor) -> int:
    """Append |x|; device of `like`."""
    halves = plan.add(Term(x, like.new_tensor([1.0, -1.0])[:, None, None]), activation=RELU)
    return plan.add(Term(halves, like.new_ones(1, 2, 1)))


def _follow(plan: Plan, rates: tuple[Tensor | int, Tensor | int], h: int, x: int) -> int:
    """Append a follower with rates up and down, at h one sample ago, one sample on towards x."""
    change = plan.mix(Product((x,)), Product((h,), -1.0))
    rise = plan.mix(Product((change,)), activation=RELU)
    up, down = rates
    return plan.mix(Product((h,)), _times(down, change), _times(up, rise), _times(down, rise, -1.0))


def _times(number: Tensor | int, value: int, sign: float = 1.0) -> Product:
    return Product((value, number), sign) if isinstance(number, int) else Product((value,), sign * number)
