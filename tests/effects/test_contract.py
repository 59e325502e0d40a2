"""One contract for every effect, as its option file configures it."""

import inspect
import math
import re
from pathlib import Path

import pytest
import torch
from helpers.signals import RATE, music, noise, square
from hydra.errors import InstantiationException
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf
from torch import Tensor, nn

from fxemu.effects import Chain, Effect, EffectError, Parallel, Passthrough, Recorded
from fxemu.engine.lockstep.rollout import rollout
from fxemu.engine.streaming.stream import render
from fxemu.models import MLP
from fxemu.models.closed_loop import ClosedLoop
from fxemu.representations import Raw
from fxemu.training.run_folder import CONF

# Effects that need a user's program, file or function: they have tests of their own.
OUTSIDE = {"command", "nam", "plugin", "python", "recorded"}
CONFIGS = {p.stem: OmegaConf.load(p) for p in sorted((CONF / "effect").glob("*.yaml")) if p.stem not in OUTSIDE}
OVERSAMPLED = [name for name, config in CONFIGS.items() if "oversampling" in config]
# Settings that remember longer, or by other code, than the option file's.
VARIANTS = {
    "compressor-output": ("compressor", {"detector": "output"}),
    "compressor-output-fast": ("compressor", {"detector": "output", "ratio": 20, "attack_ms": 0.1, "release_ms": 5}),
    "compressor-output-slow": ("compressor", {"detector": "output", "ratio": 10, "attack_ms": 100}),
    "delay-long": ("delay", {"delay_ms": 50, "feedback": 0.95, "damping_hz": 200}),
    "flanger-deep": ("flanger", {"feedback": -0.95, "rate_hz": 5}),
    "phaser-deep": ("phaser", {"feedback": 0.9, "stages": 12, "low_hz": 50, "rate_hz": 5}),
    "wah-deep": ("wah", {"q": 20, "low_hz": 50, "rate_hz": 20}),
    "parametric_eq-boost": ("parametric_eq", {"low_hz": 50, "low_db": 24, "peak_hz": 50, "peak_db": 24, "peak_q": 20}),
    "parametric_eq-cut": ("parametric_eq", {"low_hz": 50, "low_db": -24, "peak_hz": 50, "peak_db": -24}),
    "fuzz-loud": ("fuzz", {"drive_db": 80}),
    "tube-loud": ("tube", {"drive_db": 60, "sag": 0.9, "sag_ms": 5}),
    "bandpass-high": ("bandpass", {"center_hz": 3800, "q": 50}),
    "resonant_lowpass-sharp": ("resonant_lowpass", {"cutoff_hz": 50, "q": 50}),
} | {f"{name}-oversampled": (name, {"oversampling": 8}) for name in OVERSAMPLED}
each_option = pytest.mark.parametrize("name", CONFIGS)
each_effect = pytest.mark.parametrize("name", [*CONFIGS, *VARIANTS])


def make(name: str) -> Effect:
    option, arguments = VARIANTS.get(name, (name, {}))
    return instantiate(CONFIGS[option], **arguments)


@each_effect
@pytest.mark.parametrize("sample_rate", [8000, 44_100, 48_000])
def test_wet_is_finite_float32_deterministic_and_as_long_as_dry(name: str, sample_rate: int) -> None:
    dry = noise(5000)
    kept = dry.clone()
    wet = make(name)(dry, sample_rate)
    assert wet.shape == dry.shape
    assert wet.dtype == torch.float32
    assert torch.isfinite(wet).all()
    assert wet.abs().max() > 1e-3
    assert torch.equal(wet, make(name)(dry, sample_rate)), "not deterministic"
    assert torch.equal(dry, kept), "dry was changed"
    assert make(name).replayable


@each_effect
@pytest.mark.parametrize("sample_rate", [8000, 44_100])
def test_a_stretch_with_its_memory_is_as_in_the_whole_song(name: str, sample_rate: int) -> None:
    effect = make(name)
    memory, start = math.ceil((effect.memory_s or 0) * sample_rate), 20_000
    dry = music(memory + start + 10_000)
    whole = effect(dry, sample_rate)[memory + start :]
    first = 0 if effect.memory_s is None else start
    middle = effect(dry[first:], sample_rate, start=first)[memory + start - first :]
    assert (middle - whole).square().mean() <= 1e-8 * whole.square().mean()


@each_option
def test_no_look_ahead(name: str) -> None:
    dry = noise(2000)
    wet = make(name)(dry, RATE)
    assert torch.allclose(make(name)(dry[:1000], RATE), wet[:1000], atol=1e-6)


@each_effect
def test_silence_stays_silent(name: str) -> None:
    assert torch.equal(make(name)(torch.zeros(1000), RATE), torch.zeros(1000))


@each_effect
@pytest.mark.parametrize(
    "dry", [square(0, 5000), torch.ones(5000), 1e-20 * noise(5000), torch.ones(1)], ids=["full", "dc", "tiny", "one"]
)
def test_extreme_input_stays_finite_and_in_bounds(name: str, dry: Tensor) -> None:
    wet = make(name)(dry, RATE)
    assert wet.shape == dry.shape
    # The loudest settings: 60 dB of resonance, equalisers and drive.
    assert wet.abs().max() <= 1000 * max(float(dry.abs().max()), 1e-12)


@pytest.mark.parametrize("name", ["chorus", "flanger", "parallel", "phaser", "ringmod", "tremolo", "vibrato", "wah"])
def test_the_phase_follows_the_position_in_the_song(name: str) -> None:
    wet = [make(name)(noise(5000), RATE, start) for start in (0, 5000)]
    assert (wet[0] - wet[1]).abs().max() > 0.01


@each_option
def test_every_number_has_a_range_and_its_option_file_says_it(name: str) -> None:
    text = (CONF / "effect" / f"{name}.yaml").read_text()
    comments = dict(re.findall(r"^(\w+): .* # (.*)$", text, re.MULTILINE))
    for argument in [key for key, value in CONFIGS[name].items() if isinstance(value, int | float)]:
        for got in (math.nan, math.inf, -1e9, 1e9):
            with pytest.raises(InstantiationException, match=f"{argument}: got") as error:
                instantiate(CONFIGS[name], **{argument: got})
        reason, comment = str(error.value.__cause__), comments[argument]
        low, high = re.search(r"(?:must be from|choose one of) (-?[\d.]+).* (-?[\d.]+)", reason).groups()
        if argument == "high_hz" and "low_hz" in comments and name != "parametric_eq":
            low = "low_hz"
        assert re.search(rf"(^|[ ,]){low}\b.* {high}\b", comment), f"{argument}: {comment}, but {reason}"
        for unit in ("Hz", "ms", "dB"):
            assert argument.endswith(f"_{unit.lower()}") == (f", {comment}".split(", ")[-2].startswith(unit))


@each_option
def test_every_choice_is_checked(name: str) -> None:
    words = [argument for argument, value in CONFIGS[name].items() if isinstance(value, str) and argument[0] != "_"]
    for argument in [*words, *({"oversampling", "stages", "voices"} & set(CONFIGS[name]))]:
        with pytest.raises(InstantiationException, match=f"{argument}: got 'nonsense'; choose one of "):
            instantiate(CONFIGS[name], **{argument: "nonsense"})


@each_option
def test_the_option_file_holds_the_constructors_arguments_and_defaults(name: str) -> None:
    parameters = inspect.signature(get_class(CONFIGS[name]["_target_"])).parameters
    values = {key: value for key, value in CONFIGS[name].items() if key != "_target_"}
    assert list(values) == list(parameters)
    if name not in ("slapback", "feedback_compressor"):  # a delay, a compressor, by another name
        defaults = {key: parameter.default for key, parameter in parameters.items() if key != "effects"}
        assert {key: value for key, value in values.items() if key != "effects"} == defaults


@each_option
def test_steps_of_training_render_finite_audio(name: str) -> None:
    """A tiny predictor learns the effect through its own output: the error falls, and the free run stays finite."""
    torch.manual_seed(0)
    loop = ClosedLoop(MLP(1, 1, context_window=16, feedback_window=8, layers=1, width=8, dry_skip=0), Raw(), Raw())
    dry = 0.5 * music(2 * RATE)
    wet = make(name)(dry, RATE)
    optimizer = torch.optim.Adam(loop.parameters(), lr=1e-2)
    losses = []
    for starts in torch.randint(RATE, (80, 16), generator=torch.Generator().manual_seed(0)):
        segments = starts[:, None] + torch.arange(loop.warm_up + 3)
        x, y = dry[segments][:, None], wet[segments][:, None]
        loss = nn.functional.mse_loss(rollout(loop, x, y[..., :-2]).prediction, y[..., -2:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-20:]) < sum(losses[:20])
    rendered = render(loop, dry[:4000])
    assert rendered.shape == (4000,)
    assert torch.isfinite(rendered).all()


def test_recordings_are_not_replayable_and_not_part_of_other_effects(tmp_path: Path) -> None:
    recorded = Recorded(*[str(tmp_path)] * 2)
    assert not recorded.replayable
    with pytest.raises(EffectError, match="cannot be run on other audio"):
        recorded(noise(100), RATE)
    for combination in (Chain, Parallel):
        with pytest.raises(ValueError, match="recordings cannot be part of another effect"):
            combination([Passthrough(), recorded])


def test_passthrough_is_a_copy() -> None:
    dry = noise(100)
    wet = Passthrough()(dry, RATE)
    assert torch.equal(wet, dry)
    assert wet.data_ptr() != dry.data_ptr()


@pytest.mark.parametrize(
    ("name", "argument", "got", "message"),
    [
        ("distortion", "drive_db", 61, "drive_db: got 61; must be from -20 to 60 dB"),
        ("distortion", "clip", "fuzz", "clip: got 'fuzz'; choose one of tanh, hard, asymmetric"),
        ("tanh", "oversampling", 3, "oversampling: got 3; choose one of 1, 2, 4, 8"),
        ("tremolo", "waveform", "saw", "waveform: got 'saw'; choose one of sine, triangle, square"),
        ("wah", "high_hz", 300, "high_hz: got 300; must be from 350 to 10000 Hz"),
        ("delay", "delay_ms", "long", "delay_ms: got long; must be from 1 to 2000 ms"),
        ("chain", "effects", 3, "effects: got 3; must be a list of one effect or more, each with its _target_"),
        ("chain", "effects", [], "effects: got []; must be a list of one effect or more, each with its _target_"),
    ],
)
def test_an_error_says_what_was_got_and_what_is_allowed(name: str, argument: str, got: object, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message) + "$"):
        get_class(CONFIGS[name]["_target_"])(**{argument: got})


class Broken(Effect):
    """An effect that returns a given wet signal."""

    def __init__(self, wet: Tensor) -> None:
        self.wet = wet

    def process(self, dry: Tensor, sample_rate: int, start: int) -> Tensor:
        return self.wet


@pytest.mark.parametrize(
    ("wet", "reason"),
    [
        (torch.zeros(9), r"returned \(9,\) for a dry signal of \(10,\)"),
        (torch.full((10,), math.nan), "10 samples that are NaN or infinite, of 10"),
        (torch.tensor([0.0] * 9 + [math.inf]), "1 samples that are NaN or infinite, of 10"),
    ],
)
def test_a_broken_effect_is_named(wet: Tensor, reason: str) -> None:
    with pytest.raises(EffectError, match=f"effect Broken .*{reason}"):
        Broken(wet)(torch.zeros(10), RATE)
