"""`fxemu compare`: seeds gathered, differences as columns, the best marked, and errors for a person."""

import csv
import re

import pytest

from fxemu.cli.compare import main
from fxemu.evaluation.compare import differing_options, group_runs, share_of_decades, tasks
from fxemu.evaluation.runs import read_run
from fxemu.evaluation.tables import csv_table, terminal_table


@pytest.fixture
def groups(make_run):
    """Three seeds of raw, one of mulaw, and one of another effect."""
    runs = [make_run(f"raw{s}", {"seed": s, "repr.input": "raw"}, esr=e) for s, e in enumerate((0.3, 0.1, 0.2))]
    mulaw = {"esr": 0.15, "realtime_factor": 40, "contraction": {"model": {"worst_over_best": 1.3}}}
    runs += [make_run("mulaw", {"repr.input": "mulaw", "repr.mu": 255}, **mulaw)]
    runs += [make_run("ring", {"effect._target_": "fxemu.effects.RingModulator", "repr.input": "raw"}, esr=0.9)]
    return group_runs(read_run(folder) for folder in runs)


def test_seeds_are_gathered_and_the_best_comes_first(groups):
    names = [[run.folder.name for run in group.runs] for group in groups]
    assert names == [["ring"], ["mulaw"], ["raw1", "raw2", "raw0"]]
    assert groups[2].typical.folder.name == "raw2"


def test_only_what_differs_is_a_column(groups):
    assert sorted(differing_options(groups)) == ["repr.input"]


def test_median_and_range_over_seeds_and_the_best_of_each_effect(groups):
    ring, tanh = tasks(groups)
    assert tanh.rows[1].spreads["esr"] == (0.2, 0.1, 0.3)
    assert tanh.rows[0].best == {"esr"}  # no rival has a real-time factor, and the other scores are equal
    assert ring.rows[0].best == set()
    table = terminal_table([ring, tanh], 160)
    assert "worst/best past" in table and re.search(r"mulaw +1\.50e-01\* .* 40x .* 1\.30", table)
    assert re.search(r"raw2 \(3 runs\) +2\.00e-01 .* 1\.00e-01 to 3\.00e-01", table)


@pytest.mark.parametrize("width", [80, 100, 140])
def test_a_table_is_as_wide_as_the_terminal(make_run, width):
    options = {"model._target_": "fxemu.models.GRU", "loss._target_": "fxemu.losses.ESR"}
    names = ["a-run-with-a-name-of-more-characters-than-fit", "b"]
    costs = {"realtime_factor": 90.0, "mrstft": 0.1, "esr_worst": 0.1}
    runs = [make_run(n, options | {"model.width": i, "data.segment": "x" * 90}, **costs) for i, n in enumerate(names)]
    lines = terminal_table(tasks(group_runs(map(read_run, runs))), width).splitlines()
    assert max(map(len, lines)) <= width
    assert lines[0].split()[:2] == ["no.", "run"] and ("worst song" in lines[0]) == (width > 80)


def test_what_differs_is_told_in_few_words(make_run):
    """Classes by name, the time in minutes, and no option that those decide."""
    gru = {"model._target_": "fxemu.models.GRU", "model.hidden": 8, "training.steps": 5}
    mlp = {"model._target_": "fxemu.models.MLP", "model.layers": [4, 4], "training.steps": 6}
    times = [("00:00:05:00", {}), ("00:00:00:30", {}), ("00:00:05:00", {"model.hidden": 9})]
    runs = [make_run(f"gru{i}", gru | {"trainer.max_time": t} | o, esr=0.1 + i) for i, (t, o) in enumerate(times)]
    runs.append(make_run("mlp", mlp | {"trainer.max_time": "00:00:05:00"}, esr=9.0))
    (task,) = tasks(group_runs(map(read_run, runs)))
    told = [row.summary for row in task.rows]
    assert told == ["gru, 5 min, hidden 8", "gru, 30 s, hidden 8", "gru, 5 min, hidden 9", "mlp, 5 min"]
    (alone,) = tasks(group_runs([read_run(runs[0])]))
    assert alone.rows[0].summary == "gru, 5 min"


def test_what_a_model_is_comes_before_what_merely_differs(make_run):
    first = {"data.batches_per_epoch": 1, "model.feedback": True, "repr.input._target_": "fxemu.representations.Raw"}
    second = {"data.batches_per_epoch": 2, "model.feedback": False, "repr.input._target_": "fxemu.representations.Raw"}
    first["repr.output._target_"], second["repr.output._target_"] = first["repr.input._target_"], "fxemu.R.MuLaw"
    runs = [make_run(f"run{i}", options, esr=0.1 + i) for i, options in enumerate((first, second))]
    (task,) = tasks(group_runs(map(read_run, runs)))
    assert [row.summary for row in task.rows] == ["feedback, raw out", "no feedback, mulaw out"]
    second["repr.output._target_"] = first["repr.output._target_"]
    runs[1] = make_run("run2", second, esr=2.0)
    (task,) = tasks(group_runs(map(read_run, runs)))
    assert [row.summary for row in task.rows] == ["feedback", "no feedback"]


def test_a_summary_leaves_out_what_most_have_and_where_the_songs_lie(make_run):
    options = [
        {"data.library": f"/{i}", "model.width": min(i, 3), "trainer.max_time": "00:00:00:30"} for i in (3, 4, 5, 2)
    ]
    runs = [make_run(f"run{i}", each, esr=0.1 + i) for i, each in enumerate(options)]
    (task,) = tasks(group_runs(map(read_run, runs)))
    assert [row.summary for row in task.rows] == ["", "", "", "width 2"]


@pytest.mark.parametrize(
    ("options", "effect"),
    [
        ({}, "Tanh"),
        ({"effect.gain": 7.0}, "Tanh (gain 7)"),
        (
            {"effect._target_": "fxemu.effects.Command", "effect.command": ["run", "-i", "a" * 50, "file:///b/Phaser"]},
            "Command (~/b/Phaser, gain 5)",
        ),
    ],
)
def test_a_title_tells_an_effect_by_what_is_not_its_default(make_run, options, effect):
    (task,) = tasks(group_runs([read_run(make_run("run", options))]))
    assert task.effect == effect and task.title == f"{effect}, 1 test song at 8000 Hz"


def test_a_bar_is_a_share_of_decades():
    errors = [1e-4, 1e-3, 1e-2, float("inf")]
    assert [round(share_of_decades(error, errors), 6) for error in errors] == [0, 0.5, 1, 1]
    assert share_of_decades(0.5, [0.5]) == share_of_decades(0.0, [0.0, 1.0]) == 0


def test_another_set_of_songs_is_another_task(make_run):
    other = make_run("b", {"model.width": 8}, songs=[{"name": "other.wav", "esr": 0.1}])
    assert len(tasks(group_runs([read_run(make_run("a")), read_run(other)]))) == 2


def test_a_diverged_run_is_never_the_best(make_run):
    folders = [make_run("a", {"model.width": 8}, esr=float("nan")), make_run("b", {"model.width": 9}, esr=5.0)]
    (task,) = tasks(group_runs(map(read_run, folders)))
    assert [row.typical.folder.name for row in task.rows] == ["b", "a"]
    assert "esr" in task.rows[0].best and "esr" not in task.rows[1].best


def test_a_read_only_place_is_named_with_what_to_do(make_run, read_only, capsys):
    with pytest.raises(SystemExit, match="1"):
        main([str(make_run("a")), "--output", str(read_only / "x" / "runs")])
    assert f"error: {read_only}/x/runs.csv: cannot be written (Read-only file system); " in capsys.readouterr().err


def test_no_cell_of_the_csv_is_a_formula(make_run):
    values = ("=1+1", "-x", "-3.5", "-2+3+cmd|' /C calc'!A0")
    folders = [make_run(name, {"loss": value}) for name, value in zip("abcd", values, strict=True)]
    groups = group_runs(map(read_run, folders))
    rows = list(csv.DictReader(csv_table(["loss"], tasks(groups)).splitlines()))
    assert sorted(row["loss"] for row in rows) == ["'-2+3+cmd|' /C calc'!A0", "'-x", "'=1+1", "-3.5"]
    assert {(row["esr"], row["runs"], row["mrstft"]) for row in rows} == {("0.1", "1", "")}


def test_the_command_writes_all_three_and_names_what_it_skips(make_run, tmp_path, capsys):
    make_run("a", {"model.width": 8}, esr=0.01)
    make_run("b", {"model.width": 9})
    (make_run("half") / "metrics.json").unlink()
    main([str(tmp_path / "runs"), "--output", str(tmp_path / "out" / "table")])
    printed = capsys.readouterr()
    assert "width 8" in printed.out and "1.00e-02*" in printed.out
    assert "half: no metrics.json: not finished" in printed.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["table.csv", "table.html"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "no such folder"),
        ([".", "--seconds", "0"], "--songs and --seconds"),
        (["."], "no run in it"),
        ([".", "--output", "."], "--output: got .; give a name"),
    ],
)
def test_a_mistake_gets_one_clear_error(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error
