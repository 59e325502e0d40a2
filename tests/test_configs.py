"""Every option composes, instantiates and runs on 1024 samples; every class has its option and the reverse."""

from itertools import product

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

import fxemu.effects
import fxemu.losses
import fxemu.models
import fxemu.representations
from fxemu.engine.rollout import rollout
from fxemu.train import CONF, ConfigError, build

GROUPS = {path.name: sorted(file.stem for file in path.glob("*.yaml")) for path in CONF.iterdir() if path.is_dir()}

# What the options that run something of the user's need; recordings and plugins have tests of their own.
OWN = {
    "command": "effect.command=[cp,'{dry}','{wet}']",
    "python": "effect.function=numpy.tanh",
}
RUNNABLE = sorted({*GROUPS["effect"]} - {"recorded", "plugin"})


def composed(*overrides: str):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", [*overrides])


@pytest.mark.parametrize(("group", "option"), [(g, o) for g, options in GROUPS.items() for o in options])
def test_every_option_file_says_what_it_is(group, option):
    lines = (CONF / group / f"{option}.yaml").read_text().splitlines()
    first = lines[1] if lines[0].startswith("# @package") else lines[0]
    assert first.startswith("# ") and first.endswith(".")


@pytest.mark.parametrize(("effect", "repr_", "model"), list(product(RUNNABLE, GROUPS["repr"], GROUPS["model"])))
def test_every_combination_builds_and_runs(effect, repr_, model):
    own = [OWN[effect]] if effect in OWN else []
    config = composed(
        f"effect={effect}", f"repr={repr_}", f"model={model}", "model.context_window=32", "debug=fast", *own
    )
    loop, data, _ = build(config)
    dry = torch.randn(1024, generator=torch.Generator().manual_seed(0)) * 0.3
    wet = data.effect(dry, 44_100)
    predicted = rollout(loop, dry[None, None], wet[None, None, :512])
    assert predicted.shape == (1, 1, 512) and torch.isfinite(predicted).all()


@pytest.mark.parametrize(
    ("group", "option"),
    [(g, o) for g in ("loss", "training", "data", "trainer", "experiment", "debug") for o in GROUPS[g]],
)
def test_every_other_option_builds(group, option):
    _, _, emulator = build(composed(f"{group}={option}"))
    assert emulator.schedule.steps > 0


@pytest.mark.parametrize(
    ("group", "package"),
    [
        ("effect", fxemu.effects),
        ("representation", fxemu.representations),
        ("model", fxemu.models),
        ("loss", fxemu.losses),
    ],
)
def test_every_class_has_an_option_and_the_reverse(group, package):
    named = {composed(f"+{group}@probe={option}").probe._target_.rsplit(".", 1)[1] for option in GROUPS[group]}
    base = {"effect": "Effect", "representation": "Representation", "model": "Predictor", "loss": None}[group]
    public = {"ESR", "MuLawMSE"} if group == "loss" else set(package.__all__) - {base, "EffectError"}
    assert named == public


def test_sides_of_the_representation_are_chosen_separately():
    config = composed("representation@repr.input=mulaw", "representation@repr.output=raw")
    assert instantiate(config.repr.input).encode(torch.tensor(0.1)) != 0.1
    assert instantiate(config.repr.output).decode(torch.tensor(0.1)) == 0.1


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.context_window=0", "context_window: got 0"),
        ("model.feedback_window=999", "feedback_window: got 999"),
        ("effect.drive_db=99", "drive_db: got 99; must be from -20 to 60 dB"),
        ("data.segment=8", "data.segment is 8"),
        ("data.sample_rate=1", "data.sample_rate: got 1"),
        ("effect._target_=os.system", "_target_: got 'os.system'"),
        ("model._target_=torch.nn.Linear", "_target_: got 'torch.nn.Linear'"),
    ],
)
def test_a_bad_config_is_refused_before_any_audio_is_read(override, message):
    with pytest.raises(ConfigError, match=message):
        build(composed(override))
