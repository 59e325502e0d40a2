"""Every option composes, instantiates and runs on 1024 samples; every class has its option and the reverse."""

import inspect
import os
import re

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf

import fxemu.effects
import fxemu.losses
import fxemu.models
import fxemu.representations
from fxemu.engine.lockstep.rollout import rollout
from fxemu.errors import UserError
from fxemu.library.songs import list_songs
from fxemu.training.overrides import PATHS, RUN_FOLDERS, absolute_paths, arguments, config_errors
from fxemu.training.parts import build_parts
from fxemu.training.run import build, train
from fxemu.training.run_folder import CONF, ConfigError

GROUPS = {path.name: sorted(file.stem for file in path.glob("*.yaml")) for path in CONF.iterdir() if path.is_dir()}

# What the options that run something of the user's need; recordings and plugins have tests of their own.
OWN = {
    "command": "effect.command=[cp,'{dry}','{wet}']",
    "python": "effect.function=numpy.tanh",
}
RUNNABLE = sorted({*GROUPS["effect"]} - {"recorded", "plugin", "nam"})


# Models that multiply the samples themselves.
PLAIN = ("octave_gain", "dynamics", "oscillator", "periodic_filter")


def composed(*overrides: str):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", [*overrides])


@pytest.mark.parametrize(("group", "option"), [(g, o) for g, options in GROUPS.items() for o in options])
def test_every_option_file_says_what_it_is(group, option):
    lines = (CONF / group / f"{option}.yaml").read_text().splitlines()
    first = lines[1] if lines[0].startswith("# @package") else lines[0]
    assert first.startswith("# ") and first.endswith(".")


@pytest.mark.parametrize("group", ["effect", "repr", "model", "loss", "training", "data"])
def test_every_argument_in_an_option_file_has_a_comment(group):
    for path in (CONF / group).glob("*.yaml"):
        arguments = re.findall(r"^(?!_target_|defaults)\w+:.*", path.read_text(), re.MULTILINE)
        # A value whose entries stand below it is explained above it, or in them.
        bare = [line for line in arguments if "#" not in line and not line.endswith(":")]
        assert not bare, f"{path.name}: {bare}"


def assert_builds_and_runs(*overrides):
    parts = build_parts(composed(*overrides, "debug=fast"))
    loop = parts.loop
    history = max(512, loop.warm_up)
    dry = torch.randn(history + 512, generator=torch.Generator().manual_seed(0)) * 0.3
    wet = parts.effect(dry, 44_100)
    predicted = rollout(loop, dry[None, None], wet[None, None, :history]).prediction
    assert predicted.shape == (1, 1, 512) and torch.isfinite(predicted).all()


# Every model, and every representation with windows, with a state, and with what takes plain samples only.
PAIRS = [("raw", model) for model in GROUPS["model"]]
PAIRS += [(other, model) for other in GROUPS["repr"] if other != "raw" for model in ("mlp", "gru", PLAIN[0])]


@pytest.mark.parametrize(("repr_", "model"), PAIRS)
def test_every_representation_and_every_model_builds_and_runs(repr_, model):
    if model in PLAIN and repr_ != "raw":
        with pytest.raises(ConfigError, match=f"model={model} takes and makes plain samples: use it with repr=raw"):
            build_parts(composed(f"repr={repr_}", f"model={model}"))
        return
    assert_builds_and_runs(f"repr={repr_}", f"model={model}")


@pytest.mark.parametrize("effect", RUNNABLE)
def test_every_effect_builds_and_runs(effect):
    assert_builds_and_runs(f"effect={effect}", "repr=raw", *([OWN[effect]] if effect in OWN else []))
    # So that it does with every representation and model: it refers to nothing outside its own file.
    text = (CONF / "effect" / f"{effect}.yaml").read_text()
    assert not [word for word in ("${", "defaults:", "@package") if word in text]


FILTER = ["repr=raw", "model=linear", "model.feedback=false"]


@pytest.mark.parametrize(
    ("group", "option"),
    [(g, o) for g in ("loss", "training", "data", "experiment", "study", "debug") for o in GROUPS[g]],
)
def test_every_other_option_builds(group, option):
    if option == "search":
        pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    config = composed(f"{group}={option}", *(FILTER if option == "closed_form" else []))
    _, emulator = build(config, build_parts(config))
    assert (emulator.schedule.steps > 0) == (option not in ("closed_form", "dynamics"))


@pytest.mark.parametrize(
    ("group", "package"),
    [
        ("effect", fxemu.effects),
        ("repr", fxemu.representations),
        ("model", fxemu.models),
        ("loss", fxemu.losses),
    ],
)
def test_every_class_has_an_option_and_the_reverse(group, package):
    files = [OmegaConf.load(path) for path in (CONF / group).glob("*.yaml")]
    # The race has none of its own.
    named = {file._target_.rsplit(".", 1)[1] for file in files if "race" not in file}
    base = {"effect": "Effect", "repr": "Representation", "model": "Predictor", "loss": None}[group]
    public = {name for name in package.__all__ if isinstance(getattr(package, name), type)} - {base, "EffectError"}
    assert named == public


# Options that exist in order to differ from the defaults of their class.
PRESETS = ("feedback_compressor", "slapback", "closed_form", "pushforward", "teacher_forcing")
OPTIONS = [(g, o) for g, options in GROUPS.items() for o in options if o not in PRESETS]


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_an_option_states_the_defaults_of_its_class(group, option):
    stated = OmegaConf.to_container(OmegaConf.load(CONF / group / f"{option}.yaml"))
    if not str(stated.get("_target_")).startswith("fxemu."):
        return
    parameters = inspect.signature(get_class(stated["_target_"])).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    # Those are set by what the other parts of a run are.
    assert defaults.keys() - stated.keys() <= {"channels", "params", "seed"}
    same = {name for name in defaults.keys() & stated.keys() if "${" not in str(stated[name])}
    as_yaml = {name: list(d) if isinstance(d, tuple) else d for name, d in defaults.items()}
    assert {name: stated[name] for name in same} == {name: as_yaml[name] for name in same}


@pytest.mark.parametrize(
    ("given", "sides"),
    [
        ((), ("Raw", "Raw")),
        (("repr=mulaw",), ("MuLaw", "MuLaw")),
        (("repr.input=mulaw", "repr.output=onehot"), ("MuLaw", "OneHot")),
        (("repr.output=onehot",), ("Raw", "OneHot")),
        (("repr.input=onehot",), ("OneHot", "Raw")),
        (("repr.input=onehot", "repr=mulaw"), ("OneHot", "MuLaw")),
        (("repr=mulaw", "repr.output=onehot", "repr.output.decoding=argmax"), ("MuLaw", "OneHot")),
    ],
)
def test_sides_of_the_representation_are_chosen_separately(given, sides):
    config = composed(*arguments([*given]))
    assert tuple(type(instantiate(config.repr[side])).__name__ for side in ("input", "output")) == sides
    # The units that samples pass through first are those that suit the input.
    assert config.model.embedding == (4 if sides[0] == "MuLaw" else 0)


def test_a_sweep_over_representations_keeps_the_sides_together():
    assert arguments(["repr=raw,mulaw", "seed=1"]) == ["repr=raw,mulaw", "seed=1"]
    assert arguments(["repr.output=onehot,mulaw", "seed=1"]) == ["seed=1", "repr=raw", "repr@repr.output=onehot,mulaw"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("efect=tanh", "efect: no such option; did you mean effect?"),
        ("model.widht=3", "model.widht: no such option; did you mean model.width?"),
        ("trainer.max_tim=3", "did you mean trainer.max_time?"),
        ("effect.dry=a", "effect.dry: the chosen effect has no such option; it is one of effect=recorded"),
        ("nothing_at_all=1", "nothing_at_all: no such option; `python train.py --help`"),
    ],
)
def test_an_unknown_option_is_told_what_it_resembles_or_where_it_belongs(override, message):
    with pytest.raises(ConfigError) as caught, config_errors():
        composed(override)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.context_window=0", "context_window: got 0"),
        ("model.feedback_window=999", "feedback_window: got 999"),
        ("effect.drive_db=99", "drive_db: got 99; must be from -20 to 60 dB"),
        ("data.segment=8", "data.segment is 8"),
        ("data.segment=null", "data.segment: got None; must be a whole number"),
        ("data.segment=long", "data.segment: got 'long'"),
        ("data.file_count=-1", "data.file_count: got -1; must be a whole number from 3"),
        ("data.file_count=1e1", "data.file_count: got 10.0; must be a whole number from 3"),
        ("data.batches_per_epoch=1e3", "data.batches_per_epoch: got 1000.0; must be a whole number from 1"),
        ("threads=-1", "threads: got -1; must be a whole number from 1"),
        ("patience=long", "patience: got 'long'; must be a whole number from 1"),
        ("effect._target_=fxemu.__main__.main", "_target_: got 'fxemu.__main__.main'"),
        ("trainer.accelerator=mps", "trainer.accelerator: got 'mps'; must be one of auto, cpu, cuda"),
        ("training.warm_up_steps=-1", "warm_up_steps -1"),
        ("effect._target_=fxemu.effects.command.subprocess.check_output", "_target_: got 'fxemu.effects.command.sub"),
        ("loss._target_=fxemu.losses.Loss", "Loss"),
        ("model.feedback=no", "model.feedback: got 'no'; must be true or false"),
        ("training.steps=1.5", "training.steps: got 1.5; must be a whole number"),
        ("training.steps=true", "training.steps: got True; must be a whole number"),
        ("training.steps=null", "training.steps: got None; must be a whole number"),
        ("data.duration_s=5", "data.duration_s: got 5; must be a list"),
        ("model.width=99999999", "not enough memory"),
        ("trainer.devices=0", "trainer.devices: got 0"),
        ("+effect.gian=3", "effect.gian: Distortion has no such argument; it has drive_db, clip"),
        ("+efect=tanh", "efect: no such option; did you mean effect"),
        ("data.gain_db=[-30,6]", "data.gain_db: got .* must be"),
        ("loss.mu=0", "mu: got 0"),
        ("data.sample_rate=1", "data.sample_rate: got 1"),
        ("effect._target_=os.system", "_target_: got 'os.system'"),
        ("model._target_=torch.nn.Linear", "_target_: got 'torch.nn.Linear'"),
    ],
)
def test_a_bad_config_is_refused_before_any_audio_is_read(override, message):
    with pytest.raises(UserError, match=message):
        config = composed(override)
        build(config, build_parts(config))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["loss=mrstft", "training.stages=[{share: 1.0, length: 32, free: true}]"],
            "got segments of 32 samples",
        ),
        (["loss=log_mel", "loss.mels=1000"], "mels: got 1000, of which"),
        (["loss=combined", "loss.terms.dc.weight=-1"], r"loss.terms.dc.weight: got -1"),
        (["loss=preemphasis_esr", "loss.coefficient=1"], "coefficient: got 1"),
    ],
)
def test_a_loss_that_does_not_fit_is_refused_before_any_audio_is_read(overrides, message):
    with pytest.raises(ConfigError, match=message):
        build_parts(composed(*overrides))


@pytest.mark.parametrize(
    "overrides",
    [("model=mlp", "repr=raw"), ("model=linear", "repr=raw"), ("model=linear", "model.feedback=false", "repr=mulaw")],
)
def test_a_fit_in_closed_form_is_refused_where_there_is_none(overrides):
    with pytest.raises(ConfigError, match=r"training.steps: got 0.* Use training=free_running, or repr=raw with"):
        build_parts(composed("training=closed_form", *overrides))


@pytest.mark.parametrize(
    "overrides",
    [
        ("repr=binary", "repr.output.bits=20"),
        ("repr=onehot", "repr.input.classes=10"),
        ("model=mlp", "repr=mulaw", "repr.output.mu=0"),
        ("repr=onehot", "repr.output.temperature=-1"),
        ("repr=mulaw", "model=oscillator"),
        ("loss=likelihood", "repr=onehot", "repr.output.decoding=argmax", "loss._target_=fxemu.losses.ESR"),
        ("model=mlp", "effect.drive_db=99"),
    ],
)
def test_a_run_that_is_refused_has_not_looked_at_a_song(overrides, tmp_path):
    index = tmp_path / "index.sqlite"
    with pytest.raises(ConfigError):
        train(composed(*overrides, f"data.index={index}"), tmp_path / "run", None)
    assert not index.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["resume="], "no such folder; give that of the run to resume"),
        (["resume=nowhere"], "no such folder"),
        (["resume=.", "hydra.verbose=true", "training.steps=9"], "began with; leave out training.steps=9"),
    ],
)
def test_what_cannot_be_resumed_is_refused_before_any_folder_is_made(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message):
        arguments(words)
    assert not list(tmp_path.iterdir())


ODD_NAMES = ["My Songs (2020)", "Rock & Roll", "Don't", "a=b", "ends\\", "it's a \\'", "#1, take 2", "[live]", "'70s",
             "{x}", "音楽", "caf\udce9", "two\nlines", "100%", "$HOME", "true", "a: b", " a ", '"q"x']  # fmt: skip


def parsed(*given: str) -> list[str]:
    return [override.value() for override in OverridesParser.create().parse_overrides(arguments([*given]))]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_folder_may_have_any_name(name, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()
    for option in (*PATHS, "hydra.run.dir", "hydra.sweep.dir", "dry", "wet"):
        assert parsed(f"{option}={name}") == [name]
        assert parsed(f"{option}=~/{name}") == [f"/home/me/{name}"]
    assert parsed(f"++data.cache=/x/{name}") == [f"/x/{name}"]
    assert parsed(f"resume={name}") == [str(tmp_path / name)] * 2


def test_a_run_folder_may_have_any_name_and_hold_interpolations(tmp_path):
    names = [f"{name} ${{seed}}" for name in ODD_NAMES]
    config = OmegaConf.create({"seed": 3, "names": parsed(*(f"hydra.run.dir={name}" for name in names))})
    assert config.names == [f"{name} 3" for name in ODD_NAMES]


def test_a_comma_is_part_of_a_name_but_in_a_sweep_over_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert parsed("data.library=rock, pop") == ["rock, pop"]
    assert arguments(["-m", "data.library=rock (1),/pop"])[1:] == ["data.library='rock (1)',/pop"]
    assert arguments(["-m", "data.library=choice(a,b)", "hydra.sweep.dir=a,b"])[1:] == [
        "data.library=choice(a,b)",
        "hydra.sweep.dir='a,b'",
    ]
    (tmp_path / "rock, pop").mkdir()
    assert arguments(["--multirun", "data.library=rock, pop"])[1:] == ["data.library='rock, pop'"]


@pytest.mark.parametrize("option", [*PATHS, "++data.cache", *RUN_FOLDERS, "dry", "wet"])
@pytest.mark.parametrize("value", ["", "''", '""', " "])
def test_a_folder_without_a_name_is_not_the_current_one(option, value):
    with pytest.raises(ConfigError, match=r"must name a folder or a file; is a variable of the shell empty\?"):
        arguments(["seed=1", f"{option}={value}"])


def test_an_empty_name_in_the_environment_is_not_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MUSIC", "")
    monkeypatch.setattr("fxemu.training.overrides.get_original_cwd", lambda: str(tmp_path))
    library = absolute_paths(composed("data.library=${oc.env:MUSIC}")).data.library
    with pytest.raises(UserError, match="no such folder"):
        list_songs(library)


@pytest.mark.parametrize("flag", ["-m", "--multirun"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_flag_of_a_sweep_may_stand_anywhere(flag, place):
    words = ["threads=1", "effect=tanh,lowpass"]
    assert arguments([*words[:place], flag, *words[place:]]) == [flag, *words]


def test_quoted_folders_and_none_stay_as_they_are():
    given = ["data.library='a b'", "data.cache=null", 'effect.path="x"', "data.index=${oc.env:HOME}/x"]
    assert arguments(given[:3]) == given[:3]
    assert composed(*arguments(given[3:])).data.index == f"{os.environ['HOME']}/x"


@pytest.mark.parametrize("word", ["effect=null", "model=", "loss=null", "repr.input=null"])
def test_a_group_without_a_choice_is_refused(word):
    with pytest.raises(ConfigError, match=f"{word}: an option must be chosen"):
        arguments(["seed=1", word])


OTHERS = {"classes": 67, "mu": 100.0, "embedding": 3, "decoding": "argmax", "temperature": 2.0, "bits": 10,
          "code": "offset", "plain": False, "correction": False}  # fmt: skip


@pytest.mark.parametrize("name", GROUPS["repr"])
def test_an_option_of_a_side_without_an_effect_there_is_refused(name):
    """Encoding depends on the options that `repr.input` takes, and decoding on those of `repr.output`."""
    given = OmegaConf.to_container(composed(f"repr={name}").repr.input)
    kind = get_class(given.pop("_target_"))
    for argument in given:
        one, other = kind(**given), kind(**{**given, argument: OTHERS[argument]})
        x, params = torch.linspace(-1, 1, 99)[None, None], torch.linspace(-2, 2, 7 * one.params).view(1, -1, 7).sin()
        same = {"input": alike(one.encode(x), other.encode(x))}
        same["output"] = one.params == other.params and alike(one.decode(params), other.decode(params))
        for side in ("input", "output"):
            word = f"repr.{side}.{argument}={OTHERS[argument]}"
            if same[side]:
                with pytest.raises(ConfigError, match="has no effect there; set it for repr"):
                    arguments([f"repr={name}", word])
            else:
                assert word in arguments([f"repr={name}", word])


def alike(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape and torch.equal(one, other)


def test_a_weight_brings_a_loss_into_the_sum():
    default, changed = (
        instantiate(composed("loss=combined", *more).loss) for more in ([], ["loss.terms.log_mel.weight=0.5"])
    )
    assert set(changed.losses) - set(default.losses) == {"log_mel"}
