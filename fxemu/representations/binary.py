"""Samples as the bits of a number, each -1 or 1."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from fxemu.engine.plan import CLAMP, IDENTITY, Activation, Plan, Product, Term
from fxemu.errors import check_choice, check_range
from fxemu.representations.base import Representation
from fxemu.representations.mulaw import companding

CODES = ("sign_magnitude", "offset")
SIGN = Activation("bits", 0.0)
# The slope for which the bits, decoded again, move as the sample does, each in proportion to what it is worth.
CODE = Activation("bits", 1.5)


class Binary(Representation):
    """`bits` bits of a level, the most significant first, over linear or companded amplitude.

    The level of a sample v is round(M v), M = 2^(bits - 1) - 1, so that 0 and +-1 are exact. The offset code is the
    binary number round(M v) + 2^(bits - 1); the sign-magnitude code is a sign bit (1 for levels above 0, else -1) and
    the binary number round(M |v|). Decoding is soft: a bit is tanh of its parameter, and the level is the sum of what
    the bits are worth. Going in, a bit is a jump; for the gradient it counts as a straight line that is the flatter,
    the less the bit is worth (a straight-through estimate).

    Args:
        bits: 8 to 16.
        code: sign_magnitude or offset.
        mu: companding strength, 1 to 65535; None for linear levels.
    """

    embedding_units = 4

    def __init__(self, bits: int = 12, code: str = "sign_magnitude", mu: float | None = 255.0) -> None:
        super().__init__()
        check_range("bits", bits, 8, 16)
        check_choice("code", code, CODES)
        self.compress, self.expand = (IDENTITY, IDENTITY) if mu is None else companding(mu)
        self.bits = self.channels = self.params = bits
        self.signed = code == "sign_magnitude"
        self.top = 2 ** (bits - 1) - 1
        # Significance of the bits of the number, the most significant first.
        number = bits - 1 if self.signed else bits
        worth = 2.0 ** torch.arange(number - 1, -1, -1)
        self.register_buffer("worth", worth, persistent=False)

    def _weights(self) -> Tensor:
        """Weights by which bits from -1 to 1 add up to the level."""
        return 0.5 * self.worth / self.top

    def native_loss(self, params: Tensor, target: Tensor) -> Tensor:
        """Bernoulli negative log-likelihood, in nats a bit; a bit is 1 with probability (1 + tanh p) / 2."""
        truth = (self.encode(target) + 1) / 2
        return F.binary_cross_entropy_with_logits(2 * params, truth.detach())

    def plan_encode(self, plan: Plan, samples: int) -> int:
        v = plan.mix(Product((plan.mix(Product((samples,)), activation=self.compress),)), activation=CLAMP)
        scale = self.top / self.worth
        if not self.signed:
            return plan.add(Term(v, _column(scale)), bias=(self.top + 1.5) / self.worth, activation=CODE)
        nothing, one = scale.new_zeros(1), scale.new_ones(1)
        sign = plan.add(Term(v, _column(-0.5 * one)), bias=0.25 / self.top * one, activation=SIGN)
        magnitude = plan.mix(Product((v, sign)))
        return plan.add(
            Term(magnitude, _column(torch.cat((scale, nothing)))),
            Term(sign, _column(torch.cat((torch.zeros_like(scale), 0.5 * one)))),
            bias=torch.cat((0.5 / self.worth, one)),
            activation=CODE,
        )

    def plan_decode(self, plan: Plan, params: int) -> int:
        soft = plan.mix(Product((params,)), activation=Activation("tanh"))
        weights, half = self._weights(), 0.5 * self.worth.sum() / self.top
        if not self.signed:
            bias = (half - (self.top + 1) / self.top)[None]
            return plan.add(Term(soft, weights[None, :, None]), bias=bias, activation=self.expand)
        nothing, one = weights.new_zeros(1), weights.new_ones(1)
        rows = torch.stack((torch.cat((weights, nothing)), torch.cat((torch.zeros_like(weights), one))))
        both = plan.add(Term(soft, rows[..., None]), bias=torch.stack((half, nothing[0])))
        return plan.mix(Product((plan.part(both, 0, 1), plan.part(both, 1, 1))), activation=self.expand)


def _column(values: Tensor) -> Tensor:
    return values[:, None, None]
