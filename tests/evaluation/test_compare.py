"""`fxemu compare`: seeds gathered, differences as columns, the best marked, and errors for a person."""

import csv
import re

import pytest

from fxemu.cli.compare import main
from fxemu.evaluation.compare import csv_table, differing_options, group_runs, tasks, terminal_table
from fxemu.evaluation.runs import read_run


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
    table = terminal_table(differing_options(groups), [ring, tanh])
    assert "worst/best past" in table and re.search(r"mulaw +1 +1\.50e-01\* .* 1\.30 ", table)
    assert re.search(r"raw +3 +2\.00e-01 \[1\.00e-01 3\.00e-01\]", table)


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
    assert "model.width" in printed.out and "1.00e-02*" in printed.out
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
