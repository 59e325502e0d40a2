"""One contract for every representation, round trips against their theory, then each one's own."""

import inspect
import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

import fxemu.representations
from fxemu.engine.activations import mulaw_compress, mulaw_expand
from fxemu.engine.feedforward import evaluate
from fxemu.engine.lockstep import lanes
from fxemu.engine.lockstep.rollout import rollout
from fxemu.engine.plan import DRY, Plan, Term
from fxemu.models import MLP
from fxemu.models.closed_loop import ClosedLoop
from fxemu.representations import Binary, MuLaw, OneHot, OneHotResidual, Raw, Representation

CLASSES = [getattr(fxemu.representations, name) for name in fxemu.representations.__all__]
MAKERS = {c.__name__: c for c in CLASSES if not inspect.isabstract(c)} | {
    "offset bits": lambda: Binary(10, "offset"),
    "linear bits": lambda: Binary(9, "sign_magnitude", mu=None),
    "linear offset bits": lambda: Binary(16, "offset", mu=None),
    "many classes": lambda: OneHot(1025, mu=100, embedding=6),
}
each = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
QUANTISED = {
    "bits": (lambda: Binary(8), 2**7 - 1),
    "more bits": (lambda: Binary(12), 2**11 - 1),
    "offset bits": (lambda: Binary(10, "offset"), 2**9 - 1),
    "classes": (lambda: OneHot(65), 32),
    "more classes": (lambda: OneHot(257), 128),
}


def samples() -> Tensor:
    """(2, 1, 1001), from -1 to 1 with both ends and zero."""
    x = torch.linspace(-1, 1, 1001)
    return torch.stack((x, x.flip(0)))[:, None]


def ideal(representation: Representation, x: Tensor) -> Tensor:
    """The parameters of a predictor that is sure of x (B, 1, T)."""
    if isinstance(representation, Binary):
        return 20 * representation.encode(x)
    if isinstance(representation, OneHot):
        steps = (representation.classes - 1) / 2
        position = (mulaw_compress(x[:, 0], representation.compress.parameter) + 1) * steps
        logits = 100.0 * torch.nn.functional.one_hot(position.round().long(), representation.classes)
        offset = torch.atanh(position - position.round())[..., None]
        parts = (logits, offset) if isinstance(representation, OneHotResidual) else (logits,)
        return torch.cat(parts, dim=-1).transpose(1, 2)
    if isinstance(representation, MuLaw):
        # Half of the sample in each parameter, where there are two.
        parts = (0.5 * x, 0.5 * x) if representation.params == 2 else (x,)
        return torch.cat((mulaw_compress(parts[0], representation.compress.parameter), *parts[1:]), dim=1)
    return representation.encode(x)


def round_trip(representation: Representation, x: Tensor) -> Tensor:
    return representation.decode(ideal(representation, x)).detach()


@each
def test_shapes(make: type[Representation]) -> None:
    representation = make()
    assert representation.encode(samples()).shape == (2, representation.channels, 1001)
    assert representation.decode(torch.zeros(2, representation.params, 7)).shape == (2, 1, 7)


@pytest.mark.parametrize("make", [Raw, MuLaw, partial(MuLaw, correction=False), OneHotResidual])
def test_the_continuous_ones_are_exact(make: Callable[[], Representation]) -> None:
    assert (round_trip(make(), samples()) - samples()).abs().max() <= 1e-5


@pytest.mark.parametrize(("make", "steps"), QUANTISED.values(), ids=QUANTISED)
def test_errors_by_level_are_those_of_even_steps_in_companded_space(make: type[Representation], steps: int) -> None:
    """A step of 1 / `steps` there is one of ln(256) (|x| + 1 / 255) / `steps` here."""
    representation = make()
    for level_db in (0, -12, -24, -36, -48):
        top = 10 ** (level_db / 20)
        x = torch.linspace(0.7 * top, top, 20_001)[None, None]
        error = (round_trip(representation, x) - x).abs()
        step = math.log(256) * (top + 1 / 255) / steps
        assert error.max() <= 0.5 * step * math.exp(0.5 * math.log(256) / steps)
        if step < 0.05 * top:
            average = math.log(256) * (0.85 * top + 1 / 255) / steps
            assert float(error.mean()) == pytest.approx(average / 4, rel=0.1), level_db


@pytest.mark.parametrize(("make", "steps"), QUANTISED.values(), ids=QUANTISED)
def test_round_trips_are_monotonic_symmetric_exact_at_the_ends_and_zero_and_idempotent(
    make: type[Representation], steps: int
) -> None:
    representation, x = make(), mulaw_expand(torch.linspace(-1, 1, 20_001), 255.0)[None, None]
    once = round_trip(representation, x)
    assert (once.diff() >= 0).all()
    assert len(once.unique()) == 2 * steps + 1
    # Half-way between two levels, rounding may go either way.
    assert ((once + round_trip(representation, -x)).abs() < 1e-6).float().mean() > 0.999
    assert once[0, 0, [0, 10_000, 20_000]].tolist() == pytest.approx([-1, 0, 1], abs=1e-6)
    assert torch.allclose(round_trip(representation, once), once, atol=1e-6)


@each
def test_gradients_flow_both_ways(make: type[Representation]) -> None:
    representation = make()
    x = (samples() + 1e-4).clamp(-0.999, 0.999).requires_grad_()
    (representation.encode(x) * torch.linspace(1, 2, representation.channels)[:, None]).sum().backward()
    params = torch.rand(1, representation.params, 100, generator=torch.Generator().manual_seed(0)).requires_grad_()
    decoded = representation.decode(params)
    decoded.sum().backward()
    assert decoded.shape == (1, 1, 100)
    assert torch.isfinite(x.grad).all() and torch.isfinite(params.grad).all()
    assert (x.grad != 0).float().mean() > 0.99
    assert (params.grad != 0).float().mean() > 0.99


@each
def test_plans_compute_the_same(make: type[Representation]) -> None:
    representation, plan, x = make(), Plan(), samples()
    features = representation.plan_encode(plan, DRY)
    spread = torch.linspace(0.5, 1, representation.params)[:, None, None]
    params = plan.add(Term(DRY, spread))
    decoded = representation.plan_decode(plan, params)
    values = evaluate(plan, {DRY: x}, {features, decoded})
    assert torch.allclose(values[features], representation.encode(x), atol=1e-5)
    assert torch.allclose(values[decoded], representation.decode(values[params]), atol=1e-5)


@each
def test_native_loss_is_least_where_the_predictor_is_right(make: type[Representation]) -> None:
    representation, x = make(), samples() * 0.9
    right = representation.native_loss(ideal(representation, x), x)
    wrong = representation.native_loss(ideal(representation, -x), x)
    assert 0 <= right < 1e-6 < wrong


def test_likelihoods_in_closed_form() -> None:
    x = torch.zeros(1, 1, 5)
    # All classes, or both values of a bit, equally likely.
    assert OneHot(65).native_loss(torch.zeros(1, 65, 5), x).item() == pytest.approx(math.log(65), rel=1e-5)
    assert Binary(8).native_loss(torch.zeros(1, 8, 5), x).item() == pytest.approx(math.log(2), rel=1e-5)
    # tanh(p) cells from the class in the middle, whose offset is 0.
    params = torch.zeros(1, 66, 5)
    params[:, -1] = math.atanh(0.25)
    loss = OneHotResidual(65).native_loss(params, x).item()
    assert loss == pytest.approx(math.log(65) + 0.25**2, rel=1e-5)


@each
def test_a_disturbance_is_as_wide_for_quiet_samples_as_for_loud_ones_where_they_are_companded(
    make: type[Representation],
) -> None:
    representation, x = make(), samples() * 0.5
    moved = representation.disturb(x, torch.full_like(x, 0.01))
    place, was = (x, moved)
    if representation.compress.kind == "mulaw_compress":
        place, was = (mulaw_compress(y, representation.compress.parameter) for y in (x, moved))
    assert torch.allclose(was - place, torch.full_like(x, 0.01), atol=1e-5)


def test_raw_is_the_samples() -> None:
    assert torch.equal(Raw().encode(samples()), samples())
    assert torch.equal(Raw().decode(samples()), samples())


def test_mulaw_known_values() -> None:
    # ln(1 + 255 / 255) / ln 256 = 1 / 8.
    encoded = MuLaw(255).encode(torch.tensor([[[-1, -1 / 255, 0, 1 / 255, 1]]]))
    assert encoded[0, 0].tolist() == pytest.approx([-1, -0.125, 0, 0.125, 1], abs=1e-6)
    assert encoded[0, 1].tolist() == pytest.approx([-1, -1 / 255, 0, 1 / 255, 1], abs=1e-6)


def test_binary_codes_of_known_numbers() -> None:
    x = torch.tensor([[[1.0, -1.0, 0.0, 5 / 127]]])
    signed = Binary(8, "sign_magnitude", mu=None).encode(x)[0].T
    offset = Binary(8, "offset", mu=None).encode(x)[0].T

    def bits(text: str) -> list[float]:
        return [1.0 if digit == "1" else -1.0 for digit in text]

    # Seven bits of the magnitude and the sign; the number plus 128.
    assert [row.tolist() for row in signed] == [bits(t) for t in ("11111111", "11111110", "00000000", "00001011")]
    assert [row.tolist() for row in offset] == [bits(t) for t in ("11111111", "00000001", "10000000", "10000101")]


def test_bits_pass_the_gradient_as_if_they_were_the_sample() -> None:
    """Decoded again as a straight line, the bits' slopes add up to 1."""
    representation = Binary(12, "offset", mu=None)
    x = torch.tensor([[[0.3, -0.7]]], requires_grad=True)
    weights = 0.5 * representation.worth / representation.top
    (representation.encode(x) * weights[:, None]).sum().backward()
    assert x.grad.flatten().tolist() == pytest.approx([1, 1], rel=1e-2)


def test_argmax_takes_the_most_probable_class_and_temperature_sharpens() -> None:
    params = torch.zeros(1, 65, 1)
    params[0, 40] = 1.0
    place = (40 - 32) / 32
    argmax = OneHot(65, decoding="argmax").decode(params).item()
    assert mulaw_compress(torch.tensor(argmax), 255.0).item() == pytest.approx(place, abs=1e-5)
    expected = [abs(OneHot(65, temperature=t).decode(params).item() - argmax) for t in (0.05, 1.0, 20.0)]
    assert expected == sorted(expected) and expected[0] < 1e-4


@each
def test_rollouts_elsewhere_are_those_of_the_cpu(
    monkeypatch: pytest.MonkeyPatch, make: Callable[[], Representation]
) -> None:
    torch.manual_seed(0)
    encoder, decoder = make(), make()
    loop = ClosedLoop(MLP(encoder.channels, decoder.params, 8, 6, width=8), encoder, decoder)
    history, dry = torch.rand(5, 1, 10) - 0.5, torch.rand(5, 1, 22) - 0.5
    found = []
    for compiled in (True, False):
        monkeypatch.setattr(lanes, "compiled", lambda where, compiled=compiled: compiled)
        loop.zero_grad()
        wet = rollout(loop, dry, history).prediction
        wet.square().sum().backward()
        found.append((wet.detach(), torch.cat([p.grad.flatten() for p in loop.parameters() if p.grad is not None])))
    (expected, gradient), (wet, own) = found
    assert torch.allclose(wet, expected, atol=1e-5)
    assert (own - gradient).norm() <= 1e-4 * gradient.norm()


BAD = {
    "mu: got 0.5; must be from 1 to 65535": lambda: MuLaw(0.5),
    "mu: got nan": lambda: MuLaw(float("nan")),
    "mu: got 65536": lambda: OneHot(mu=65_536),
    "bits: got 7; must be from 8 to 16": lambda: Binary(7),
    "code: got 'gray'; choose one of sign_magnitude, offset": lambda: Binary(code="gray"),
    "mu: got 0; must be": lambda: Binary(mu=0),
    "classes: got 64; must be odd, from 65 to 1025": lambda: OneHot(64),
    "classes: got 1027": lambda: OneHotResidual(1027),
    "embedding: got 0; must be from 1 to 64": lambda: OneHot(embedding=0),
    "decoding: got 'mean'; choose one of expected, argmax": lambda: OneHot(decoding="mean"),
    "temperature: got 0; must be from 0.05 to 20": lambda: OneHot(temperature=0),
}


@pytest.mark.parametrize("message", BAD)
def test_arguments_out_of_range(message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BAD[message]()
