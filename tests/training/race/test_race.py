"""The race of `model=auto`: who takes part, who goes on, who wins, and what an interruption leaves."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.commands import FAST
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from fxemu.errors import ConfigError, FitError
from fxemu.evaluation.scores import RaceScores
from fxemu.evaluation.validation import scores
from fxemu.models import Linear
from fxemu.training.callbacks import KeepCurve
from fxemu.training.durations import time_of
from fxemu.training.module import TrainingModule
from fxemu.training.race.candidates import Candidate, compose_candidates, of_trained_weights
from fxemu.training.race.heat import CUT_OFF, WRONG_PIECES, Result, _short_training, read_common
from fxemu.training.race.run import is_worth_it, run_race
from fxemu.training.race.standings import Race
from fxemu.training.race.tasks import Interrupt, can_fork, run_tasks
from fxemu.training.run import run
from fxemu.training.run_folder import CONF, saved_config

MLP = ["model=mlp", "model.width=4", "model.context_window=16", "model.feedback_window=4", "loss=esr"]
CANDIDATES = {
    "fir": ["model=linear", "model.feedback=false", "training=closed_form"],
    "long": ["experiment=octave_gain"],
    "slow": [*MLP, "training.learning_rate=1e-9"],
    "mlp": MLP,
    "bad": ["model=linear", "model.no_such_option=1"],
}


@pytest.fixture
def composed(library: Path, tmp_path: Path) -> Iterator[Callable[..., DictConfig]]:
    """Composes a config of `model=auto` as the command line does, with candidates of a test."""

    def make(*words: str, candidates: dict[str, list[str]] = CANDIDATES) -> DictConfig:
        given = ["effect=tanh", f"data.library={library}", *FAST, "model=auto", "race.least_steps=0", *words]
        config = compose("train", given, return_hydra_config=True)
        OmegaConf.update(config, "hydra.runtime.cwd", str(tmp_path), force_add=True)
        HydraConfig.instance().set_config(config)
        config = compose("train", given)
        promises = {name: 1 if name == "fir" else 20 for name in candidates}
        config.race.candidates = {
            name: {"options": options, "kind": "any", "promise": promises[name]} for name, options in candidates.items()
        }
        return config

    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield make


def test_what_the_user_sets_wins_and_alike_candidates_are_one(composed: Callable[..., DictConfig]) -> None:
    config = composed("loss=mulaw_mse", "model.feedback=false", "seed=3")
    found, absent = compose_candidates(config)
    assert [candidate.name for candidate in found] == ["fir", "long", "slow", "mlp"] and list(absent) == ["bad"]
    for candidate in found:
        assert candidate.config.loss._target_ == "fxemu.losses.MuLawMSE" and candidate.config.seed == 3
        assert not candidate.config.model.feedback and "race" not in candidate.config
    same = composed(candidates={"one": MLP, "two": [*MLP]})
    assert [candidate.name for candidate in compose_candidates(same)[0]] == ["one"]


@pytest.mark.parametrize(("repr_", "taps"), [("raw", 1024), ("mulaw", 0)])
def test_the_recurrent_net_begins_with_a_filter_where_samples_are_plain(repr_: str, taps: int) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        options = compose("train", [f"repr={repr_}"]).race.candidates.gru.options
    assert f"model.filter_taps={taps}" in options


def test_with_knobs_those_race_that_have_them(composed: Callable[..., DictConfig]) -> None:
    found, absent = compose_candidates(composed("knobs={gain: [0.5, 2]}"))
    assert {candidate.name for candidate in found} == {"dynamics", "mlp", "gru"} and not absent
    assert all(candidate.config.knobs for candidate in found)


def test_of_another_representation_those_race_that_can(composed: Callable[..., DictConfig]) -> None:
    found, absent = compose_candidates(composed("repr=mulaw"))
    assert [candidate.name for candidate in found] == ["slow", "mlp"]
    assert "repr=raw" in absent["long"] and "training.steps: got 0" in absent["fir"]
    with pytest.raises(ConfigError, match="no_such_option"):
        run_race(composed(candidates={"bad": CANDIDATES["bad"]}), Path("unused"))


def test_the_better_half_goes_on_and_the_best_is_the_model(composed: Callable[..., DictConfig], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    config = composed("training.steps=30", "race.rounds=[0.3,0.4]")
    score = run(config, folder)
    race = json.loads((folder / "metrics.json").read_text())["race"]
    rounds = {(row["name"], row["round"]): row for row in race["rows"]}
    assert set(rounds) == {("fir", 0), ("long", 1), ("slow", 1), ("mlp", 1), ("mlp", 2)}
    assert "no song has the" in rounds["long", 1]["error"] and rounds["long", 1]["esr"] is None
    assert rounds["mlp", 1]["esr"] < rounds["slow", 1]["esr"]
    errors = [row["esr"] for row in race["rows"] if row["esr"] is not None]
    assert score == min(errors) and race["why"].startswith(f"{race['winner']} won the race")
    # Its folder is that of a run of the winner's config, and the same command again finds it finished.
    saved = OmegaConf.load(folder / "config.yaml")
    assert "race" not in saved and (folder / "plots" / "race.png").is_file()
    assert json.loads((folder / "model.json").read_text())["model"] == OmegaConf.to_container(saved.model, resolve=True)
    begun = (folder / "model.json").stat().st_mtime_ns
    assert run(config, folder) == score and (folder / "model.json").stat().st_mtime_ns == begun


def test_an_interrupted_race_is_reported_and_on_resuming_held_to_its_end(
    composed: Callable[..., DictConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    config = composed("training.steps=30", "race.rounds=[0.3,0.4]", candidates={"slow": CANDIDATES["slow"], "mlp": MLP})

    def interrupted(
        tasks: list, workers: int, limit_s: float, interrupt: Interrupt, enough: Callable[[], bool]
    ) -> None:
        run_tasks(tasks[:1], workers, limit_s, interrupt, enough)
        if tasks:
            result = folder / "race" / "slow" / "1" / "result.json"
            result.write_text(json.dumps({**json.loads(result.read_text()), "interrupted": True, "seconds": 0}))
            interrupt.received = signal.SIGTERM

    reports: list[RaceScores] = []
    monkeypatch.setattr("fxemu.training.run._report", lambda *arguments: reports.append(arguments[5]["race"]))
    with monkeypatch.context() as patched, pytest.raises(SystemExit) as left:
        patched.setattr("fxemu.training.race.heat.run_tasks", interrupted)
        run(config, folder)
    assert left.value.code == 143 and f"resume={folder}" in capsys.readouterr().out
    spent = json.loads((folder / "race" / "spent.json").read_text())["seconds"]
    config.resume = str(folder)
    run(config, folder)
    early, late = (report.rows for report in reports)
    assert [row.name for row in early] == ["slow"] and late[0].seconds > 0
    assert {(row.name, row.round) for row in late} >= {("slow", 1), ("mlp", 1)}
    assert json.loads((folder / "race" / "spent.json").read_text())["seconds"] > spent


def test_a_fit_after_another_is_tried_where_that_one_has_come_through_and_has_more_time(
    composed: Callable[..., DictConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits_s: list[float] = []

    def limited(tasks: list, workers: int, limit_s: float, *more: Interrupt | Callable[[], bool]) -> None:
        limits_s.append(limit_s)
        run_tasks(tasks, workers, limit_s, *more)

    monkeypatch.setattr("fxemu.training.race.heat.run_tasks", limited)
    moving = ["model=periodic_filter", "model.context_window=32", "training=closed_form"]
    short = [*CANDIDATES["fir"], "model.context_window=8"]
    candidates = {"one": moving, "two": [*moving, "model.rates=2"], "fir": CANDIDATES["fir"], "short": short}
    config = composed("race.enough=10", "trainer.max_time=00:01:00:00", candidates=candidates)
    with open_dict(config):
        config.race.candidates.two.after, config.race.candidates.short.after = "one", "fir"
    race = run_race(config, tmp_path)
    assert [result.name for result in race.results] == ["one", "fir", "short"]
    assert not race.has_reached("one") and race.has_reached("fir")
    assert limits_s[0] == pytest.approx(0.6 * 3600, abs=10) and limits_s[1] == pytest.approx(0.8 * 3600, abs=300)


@pytest.mark.skipif(not can_fork(), reason="candidates race in this very process")
@pytest.mark.parametrize(("seconds", "error"), [(0.5, CUT_OFF), (60, "its process ended")])
def test_why_a_candidate_left_nothing(
    composed: Callable[..., DictConfig],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    seconds: float,
    error: str,
) -> None:
    monkeypatch.setattr(
        "fxemu.training.race.heat._short_training", lambda *_: time.sleep(10) if seconds < 1 else os._exit(1)
    )
    monkeypatch.setattr("fxemu.training.race.heat.Heat._limit_s", lambda *_: seconds)
    race = run_race(composed("race.rounds=[]", candidates={"fir": CANDIDATES["fir"]}), tmp_path)
    assert [(result.name, result.error) for result in race.results] == [("fir", error)]
    assert error in capsys.readouterr().out


def test_after_half_of_the_time_no_further_round_begins(composed: Callable[..., DictConfig], tmp_path: Path) -> None:
    two = {"slow": CANDIDATES["slow"], "mlp": [*MLP, "training.learning_rate=1e-8"]}
    given = "training.steps=30", "race.rounds=[0.3,0.4]", "race.until=0", "trainer.max_time=00:00:05:00"
    config = composed(*given, candidates=two)
    for name in two:
        config.race.candidates[name].kind = name
    race = run_race(config, tmp_path)
    assert [(result.name, result.round) for result in race.results] == [("slow", 1), ("mlp", 1)]


def test_a_candidate_is_validated_after_some_of_the_wrong_pasts(
    composed: Callable[..., DictConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (candidate,), _ = compose_candidates(composed("training.steps=30", candidates={"mlp": MLP}))
    common = read_common([candidate])
    many = replace(common, wrong=common.wrong[:1] * (2 * WRONG_PIECES + 1))
    counts = []
    monkeypatch.setattr("fxemu.training.module.scores", lambda *given: counts.append(len(given[3])) or scores(*given))
    _short_training(candidate, 0.5, many, tmp_path, None)
    assert counts and WRONG_PIECES / 2 <= counts[0] <= WRONG_PIECES


@pytest.mark.parametrize("memory_hours", [0.25, 0])
def test_a_fit_that_is_good_enough_ends_the_race_and_is_not_made_again(
    composed: Callable[..., DictConfig], tmp_path: Path, memory_hours: float
) -> None:
    config = composed("effect=lowpass", "race.enough=0.5", f"data.memory_hours={memory_hours}")
    race = run_race(config, tmp_path)
    assert [result.name for result in race.results] == ["fir"] and race.finalist().name == "fir"
    result = tmp_path / "race" / "fir" / "0" / "result.json"
    result.write_text(json.dumps({**json.loads(result.read_text()), "esr": 0.25}))
    assert run_race(saved_config(tmp_path), tmp_path).best().esr == 0.25


def test_no_network_is_tried_on_an_effect_that_moves(composed: Callable[..., DictConfig], tmp_path: Path) -> None:
    candidates = {"fir": CANDIDATES["fir"], "moving": ["model=oscillator", "training=closed_form"], "mlp": MLP}
    config = composed("effect=ringmod", "race.enough=0", candidates=candidates)
    config.race.candidates.moving.kind = "moving"
    race = run_race(config, tmp_path)
    assert [result.name for result in race.results] == ["fir", "moving"] and race.finalist().name == "moving"


def test_after_an_inaudible_error_no_further_fit_begins(composed: Callable[..., DictConfig], tmp_path: Path) -> None:
    fits = {"short": [*CANDIDATES["fir"], "model.context_window=8"], "fir": CANDIDATES["fir"]}
    config = composed("effect=lowpass", "threads=1", candidates={**fits, "again": [*fits["fir"], "seed=7"]})
    race = run_race(config, tmp_path)
    assert [result.name for result in race.results] == ["short", "fir"] and race.best().name == "fir"
    assert race.results[0].esr > 1e-3 and race.results[1].esr < 1e-10


@pytest.mark.skipif(not can_fork(), reason="the fit fails in the parent alone")
def test_where_the_winner_cannot_be_fitted_to_all_songs_that_of_the_race_is_kept(
    composed: Callable[..., DictConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    fit, parent = Linear.fit, os.getpid()

    def failing(*arguments: object) -> object:
        if os.getpid() == parent:
            raise FitError("no filter for all of these")
        return fit(*arguments)

    monkeypatch.setattr(Linear, "fit", failing)
    folder = tmp_path / "run"
    folder.mkdir()
    score = run(composed("effect=lowpass", candidates={"fir": CANDIDATES["fir"]}), folder)
    assert "the best of the race is kept" in capsys.readouterr().err
    assert score == json.loads((folder / "race" / "fir" / "0" / "result.json").read_text())["esr"] < 0.5
    assert json.loads((folder / "metrics.json").read_text())["test"]["esr"] < 0.5


@pytest.mark.parametrize(
    ("words", "worth"),
    [
        ((), True),
        (("race.least_steps=21",), False),
        (("trainer.max_time=00:00:00:50",), False),
        (("trainer.devices=2",), False),
        (("repr=mulaw",), True),
        (("repr=onehot",), False),
    ],
)
def test_a_training_that_is_short_shared_or_of_codes_has_no_race(
    composed: Callable[..., DictConfig], words: tuple[str, ...], worth: bool
) -> None:
    assert is_worth_it(composed(*words)) == worth


def raced(promises: dict[str, float], *rounds: dict[str, float]) -> Race:
    """A race of candidates with these promises that have reached these errors."""
    config = OmegaConf.create({"training": {"steps": 9}})
    candidates = {name: Candidate(name, (), config, name.split()[0], promise) for name, promise in promises.items()}
    results = [Result(name, n, esr, esr, 1.0) for n, reached in enumerate(rounds, 1) for name, esr in reached.items()]
    return Race(Path(), candidates, "00:00:04:45", [0.04, 0.08, 0.16], 4.0, results=results)


PROMISES = {"quick": 5.0, "quick too": 5.0, "slow": 100.0, "slow too": 50.0, "fit": 1.0}


@pytest.mark.parametrize(
    ("rounds", "finalist", "best"),
    [
        # A slow learner that still learns, one that has learned what it can, and one that has not begun.
        ([{"quick": 0.1, "slow": 0.5}, {"quick": 0.01, "slow": 0.05}], "slow", "quick"),
        ([{"quick": 0.1, "slow": 0.05}, {"quick": 0.01, "slow": 0.05}], "quick", "quick"),
        ([{"quick": 0.1, "slow": 0.5}, {"quick": 0.0001, "slow": 0.05}], "quick", "quick"),
        ([{"quick": 0.1, "fit": 0.05}], "quick", "fit"),
        ([{"quick": 0.1, "fit": 0.01}], "fit", "fit"),
        ([{"quick": float("inf"), "fit": 0.5}], "fit", "fit"),
        ([{"quick": 0.1, "quick too": 0.1}], "quick", "quick"),
        # What one that was left behind had promised does not count.
        ([{"slow": 0.3, "slow too": 0.9}, {"slow": 0.25}], "slow", "slow"),
        ([{"slow": 0.3, "quick": 0.9}, {"slow": float("inf")}], "quick", "slow"),
    ],
)
def test_who_trains_on_is_who_may_get_furthest(rounds: list[dict[str, float]], finalist: str, best: str) -> None:
    race = raced(PROMISES, *rounds)
    assert race.finalist().name == finalist and race.best().name == best


@pytest.mark.parametrize(
    ("moving", "fit", "moves"),
    [
        (0.1, 0.5, True),
        (0.1, 0.3, False),
        (float("inf"), 0.3, False),
        # Nothing to compare it with.
        (0.1, float("inf"), False),
    ],
)
def test_an_effect_moves_where_a_fit_that_does_leaves_far_less(moving: float, fit: float, moves: bool) -> None:
    race = raced({"moving": 1, "moving too": 1, "fit": 1}, {"moving": moving, "moving too": 0.9, "fit": fit})
    assert race.moves() == moves


def test_of_each_kind_the_better_half_goes_on() -> None:
    race = raced(PROMISES, {"quick": 0.2, "quick too": 0.1, "slow": 0.7, "slow too": 0.6, "fit": float("inf")})
    assert [candidate.name for candidate in race.better_half([*race.candidates.values()])] == ["quick too", "slow"]


def test_after_two_rounds_those_that_can_hardly_win_stay_behind() -> None:
    race = raced(PROMISES, {"quick": 0.1, "slow": 0.5}, {"quick": 0.02, "slow": 0.1})
    finalists = [race.candidates[name] for name in ("quick", "slow")]
    assert [candidate.name for candidate in race.better_half(finalists)] == ["quick", "slow"]
    race = raced(PROMISES, {"quick": 0.1, "slow": 0.5}, {"quick": 0.05, "slow": 0.005})
    assert [candidate.name for candidate in race.better_half(finalists)] == ["slow"]


def test_inaudible_errors_count_as_equal() -> None:
    race = raced(PROMISES, {"quick": 3e-11, "fit": 1e-14})
    assert race.finalist().name == race.best().name == "quick"
    assert raced(PROMISES, {"quick": 3e-10, "fit": 1e-11}).best().name == "fit"


@pytest.mark.parametrize(
    ("fit", "last", "winner"),
    [
        (0.1, 0.05, "net"),
        (0.1, 0.09, "fit"),
        (0.1, 0.2, "fit"),
        (0.1, None, "fit"),
        # Where little is explained, explaining more counts.
        (0.62, 0.49, "net"),
        (0.62, 0.55, "fit"),
        (1.2, 0.99, "net"),
    ],
)
def test_a_network_has_to_be_clearly_below_a_fit(
    fit: float, last: float | None, winner: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    race = raced({"net": 50.0, "fit": 1.0}, {"net": 2.0})
    for name, steps in (("fit", 0), ("net", 9)):
        config = OmegaConf.create({"training": {"steps": steps, "stages": []}, "trainer": {}})
        race.candidates[name] = replace(race.candidates[name], config=config)
    race.results.append(Result("fit", 0, fit, fit, 1.0))
    monkeypatch.setattr("fxemu.training.race.standings.build", lambda *_: (None, TrainingModule))
    monkeypatch.setattr("fxemu.training.race.standings.build_parts", lambda *_: None)
    monkeypatch.setattr(TrainingModule, "start_from", lambda *_: None)
    race.folder, curve = tmp_path, KeepCurve()
    place = race.weights(race.results[1])
    place.parent.mkdir(parents=True)
    place.touch()
    curve.validations = [] if last is None else [(7, last, last)]
    _, _, scores = race.conclude(race.candidates["net"].config, None, curve)
    assert scores.winner == winner and curve.best() == (last if winner == "net" else fit)
    assert ("but a network must be clearly below" in scores.why) == (last in (0.09, 0.55))


def test_trained_weights_run_freely_from_the_first_step(composed: Callable[..., DictConfig]) -> None:
    config = compose_candidates(composed(candidates={"mlp": MLP}))[0][0].config
    stages = of_trained_weights(config).training.stages
    assert [stage.free for stage in config.training.stages] == [False, True, True]
    assert [(stage.free, stage.share) for stage in stages] == [(True, pytest.approx(0.8)), (True, pytest.approx(0.2))]
    config.training.stages = [{"share": 1.0, "length": 8, "free": False}]
    assert of_trained_weights(config) == config


def test_who_cannot_get_below_a_fit_stays_behind() -> None:
    race = raced(PROMISES, {"fit": 0.01, "quick": 0.1, "slow": 0.5})
    assert [candidate.name for candidate in race.better_half([race.candidates[n] for n in ("quick", "slow")])] == [
        "slow"
    ]


def test_an_interrupt_ends_running_tasks_and_begins_no_others(tmp_path: Path) -> None:
    interrupt = Interrupt()

    def first() -> None:
        signal.signal(signal.SIGTERM, lambda *_: (tmp_path / "told").touch())
        interrupt_parent()
        signal.pause()

    def interrupt_parent() -> None:
        os.kill(parent, signal.SIGUSR1)

    parent, before = os.getpid(), signal.signal(signal.SIGUSR1, interrupt._keep)
    try:
        run_tasks([first, (tmp_path / "second").touch], 1, float("inf"), interrupt)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert interrupt.received == signal.SIGUSR1 and (tmp_path / "told").exists()
    assert not (tmp_path / "second").exists()


def test_a_task_that_takes_too_long_is_killed_and_one_that_fails_fails_alone(tmp_path: Path) -> None:
    def broken() -> None:
        os._exit(1)

    run_tasks([(tmp_path / "done").touch, broken, signal.pause], 3, 1.0, Interrupt())
    assert (tmp_path / "done").exists()


@pytest.mark.parametrize(("seconds", "written"), [(0.2, "00:00:00:01"), (285, "00:00:04:45"), (90_061, "01:01:01:01")])
def test_seconds_as_a_time(seconds: float, written: str) -> None:
    assert time_of(seconds) == written and time_of(float("inf")) is None
