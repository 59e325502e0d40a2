"""A predictor for distortion, compression and echoes, in any mixture."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fxemu.engine.activations import activate
from fxemu.engine.plan import DECAY, TANH, Plan, Product, Term
from fxemu.errors import check_least, check_range
from fxemu.models.base import Predictor
from fxemu.models.fits.echoes import find_lags
from fxemu.models.mlp import MLP
from fxemu.models.parts.octaves import SHORTEST, octave_levels, plan_octave_levels
from fxemu.models.parts.pointwise import Pointwise

# The highest gain is 24 dB.
LOUDEST = 16.0
# Units of the two hidden layers that make the gain.
GAIN_WIDTH = 16


class OctaveGain(Predictor):
    """wet = direct + sum over e, k of taps_ek source[t - lag_e - k], where direct = net(dry) gain(levels of dry):

    net is an `MLP` over a window of dry; gain, up to 24 dB, follows from the levels of dry over octave-spaced windows
    (`octaves.py`), a context of a second; and echoes lie at lags that are found in the training songs (`fit`), or
    left out where there are none (`echoes.py`). With feedback they are echoes of wet: a delay that feeds itself back
    then needs few taps, and its target is known whenever dry and wet are. Without, they are echoes of direct, to the
    same number of lags.

    Rollouts shorter than the lags have the gradient of teacher forcing: use it with `training=teacher_forcing`. Takes
    and makes plain samples: `repr=raw` only.

    Args:
        channels, params: 1 each.
        context_window: dry samples that the net sees, the present one included; at least 1.
        layers, width: hidden layers of the net, and units in each; at least 1.
        octaves: the longest window whose level is seen is of 2^octaves samples; 3 to 20.
        echoes: most lags, at least 1.
        echo_taps: taps at each, at least 4.
        memory_samples: the longest lag, above echo_taps.
        feedback: False for the control without feedback.
    """

    plain_samples = True
    vectorised = True
    lags: Tensor

    def __init__(
        self,
        channels: int = 1,
        params: int = 1,
        context_window: int = 256,
        layers: int = 2,
        width: int = 40,
        octaves: int = 15,
        echoes: int = 4,
        echo_taps: int = 32,
        memory_samples: int = 66_150,
        feedback: bool = True,
    ) -> None:
        super().__init__()
        check_range("octaves", octaves, SHORTEST, 20)
        check_least(1, echoes=echoes)
        check_least(4, echo_taps=echo_taps)
        check_least(echo_taps + 1, memory_samples=memory_samples)
        self.feedback, self.octaves, self.memory_samples = feedback, octaves, memory_samples
        self.net = MLP(channels, params, context_window, 0, layers, width, feedback=False)
        self.gain = nn.ModuleList(
            Pointwise(seen, units)
            for seen, units in ((octaves - SHORTEST + 1, GAIN_WIDTH), (GAIN_WIDTH, GAIN_WIDTH), (GAIN_WIDTH, 1))
        )
        # At first a gain of 1, or nearly.
        self.gain[-1].weight.data.mul_(0.1)
        self.gain[-1].bias.data.zero_()
        self.taps = nn.Parameter(torch.zeros(echoes, echo_taps))
        # The shortest lag of each echo, a whole number; 0 for none.
        self.register_buffer("lags", torch.zeros(echoes))
        # Dry samples that the direct part looks back to, the present one included.
        self.reach = max(context_window, 1 << octaves)
        self.receptive_field = max(memory_samples + 1, self.reach) if feedback else memory_samples + self.reach

    @torch.no_grad()
    def fit(self, songs: Sequence[tuple[Tensor, Tensor]]) -> None:
        """Find the lags of echoes in the songs, (dry, wet) of (samples,) each; half a minute."""
        lags = find_lags(songs, *self.taps.shape, self.memory_samples)
        self.lags.copy_(F.pad(torch.tensor(lags, dtype=torch.float32), (0, self.lags.numel() - len(lags))))
        self.taps.requires_grad_(bool(lags))

    @property
    def reads_wet(self) -> bool:
        return self.feedback and bool(self._echoes())

    def _echoes(self) -> list[tuple[int, Tensor]]:
        """The lags, and the taps (1, 1, N) at each, the one that looks back farthest first.

        Lags stay within the memory whatever a file of weights may hold.
        """
        lags = self.lags.clamp(0, self.memory_samples - self.taps.shape[1]).int().tolist()
        return [(lag, taps) for lag, taps in zip(lags, self.taps.flip(1)[:, None, None], strict=True) if lag]

    def forward(self, dry: Tensor, wet: Tensor) -> Tensor:
        """Without feedback, the source of echoes is taken as given: gradient flows through their taps alone."""
        samples, width = dry.shape[-1] - self.receptive_field + 1, self.taps.shape[1]
        params = self._direct(dry, samples)
        for lag, taps in self._echoes():
            end = dry.shape[-1] - lag
            if self.feedback:
                source = wet[..., end - samples - width + 1 : end]
            else:
                with torch.no_grad():
                    source = self._direct(dry[..., :end], samples + width - 1)
            params = params + F.conv1d(source, taps)
        return params

    def _direct(self, dry: Tensor, samples: int) -> Tensor:
        """The last `samples` of the output without echoes, of dry (B, 1, T)."""
        gain = octave_levels(dry, self.octaves, samples)
        for layer in self.gain[:-1]:
            gain = activate(layer(gain), TANH)
        gain = activate(self.gain[-1](gain) - math.log(LOUDEST), DECAY)
        window = dry[..., dry.shape[-1] - samples - self.net.receptive_field + 1 :]
        return LOUDEST * gain * self.net(window, window)

    def plan(self, plan: Plan, dry: int, wet: int) -> int:
        levels = plan_octave_levels(plan, dry, self.octaves, self.taps)
        first, second, last = self.gain
        terms = [Term(level, first.weight[:, i : i + 1]) for i, level in enumerate(levels)]
        gain = plan.add(*terms, bias=first.bias, activation=TANH)
        gain = plan.add(Term(gain, second.weight), bias=second.bias, activation=TANH)
        gain = plan.add(Term(gain, last.weight), bias=last.bias - math.log(LOUDEST), activation=DECAY)
        direct = plan.mix(Product((self.net.plan(plan, dry, wet), gain), LOUDEST))
        parts = [Product((direct,))]
        for lag, taps in self._echoes():
            source, back = (wet, lag - 1) if self.feedback else (direct, lag)
            delayed = plan.add(Term(source, taps.new_tensor([[[1.0, 0.0]]]), dilation=back)) if back else source
            parts.append(Product((plan.add(Term(delayed, taps)),)))
        return plan.mix(*parts)
