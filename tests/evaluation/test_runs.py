"""Reading run folders: what a finished run gives, and what is refused."""

import math

import pytest

from fxemu.evaluation.runs import RunError, find_runs, plain, read_run


def test_a_run_is_its_flat_options_and_its_numbers(make_run):
    levels = [{"level_db": -48, "esr": 0.3}]
    scores = {"levels": levels, "mrstft": 1.5, "contraction": {"model": {"worst_over_best": 1.3}}}
    folder = make_run("a", {"model.width": 8, "training.stages": [{"share": 1.0}]}, **scores)
    run = read_run(folder)
    assert run.options["effect"] == "Tanh" and run.options["effect.gain"] == "5"
    assert run.options["model.width"] == "8" and run.options["training.stages"] == '[{"share": 1.0}]'
    assert run.scores["esr"] == 0.1 and run.scores["mrstft"] == 1.5 and run.scores["parameters"] == 99
    assert run.scores["worst_over_best"] == 1.3
    assert run.levels == {-48: 0.3} and run.songs == {"band/a.mp3": 0.1}


def test_the_same_number_written_otherwise_is_the_same_option(make_run):
    first, second = (read_run(make_run(n, {"data.gain_db": [v, 0], "x": v})) for n, v in (("a", -30), ("b", -30.0)))
    assert first.options == second.options and first.options["data.gain_db"] == "[-30, 0]"


def test_a_score_that_is_not_a_number_is_worse_than_any(make_run):
    assert read_run(make_run("a", esr=math.nan)).scores["esr"] == math.inf


def test_runs_are_found_below_a_sweep_once_each_and_without_hydras_own(make_run):
    folders = [make_run("sweep/0"), make_run("sweep/1")]
    hydra = folders[0] / ".hydra"
    hydra.mkdir()
    (hydra / "config.yaml").write_text("seed: 0")
    assert find_runs([folders[0].parent, folders[1]]) == folders


def test_candidates_of_a_race_are_no_runs_of_their_own(make_run):
    run, heat, own = make_run("run"), make_run("run/race/1/gru"), make_run("race/a")
    assert find_runs([run.parent]) == [own, run] and find_runs([heat]) == [heat]


def test_a_place_without_runs_is_refused(tmp_path):
    with pytest.raises(RunError, match="no run in it or below it"):
        find_runs([tmp_path])
    with pytest.raises(RunError, match="nowhere: no such folder"):
        find_runs([tmp_path / "nowhere"])


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("metrics.json", None, "no metrics.json: not finished"),
        ("metrics.json", '{"test": {"esr": ', "broken"),
        ("metrics.json", "[1]", "metrics.json is no mapping"),
        ("metrics.json", '{"test": {"esr": 1, "songs": [{"name": "\\ud800", "esr": 1}]}}', "surrogates not allowed"),
        ("metrics.json", '{"test": {}}', "no free-run ESR"),
        ("metrics.json", '{"test": {"esr": "0.1"}}', "no free-run ESR"),
        ("metrics.json", '{"test": {"esr": 0.1, "levels": [{"level_db": "x", "esr": 1}]}}', "where a number belongs"),
        ("metrics.json", '{"test": {"esr": 1' + "0" * 400 + "}}", "broken"),
        ("metrics.json", "[" * 100_000, "broken"),
        ("metrics.json", " " * 5_000_000, "larger than"),
        ("metrics.json", "\xff\x1b[2J", "broken"),
        ("config.yaml", "a: &a [1]\nb: [*a, *a]", "aliases are not allowed"),
        ("config.yaml", "a: !!python/object/apply:os.system [echo]", "broken"),
        ("config.yaml", "just text", "config.yaml is no mapping"),
    ],
)
def test_a_broken_run_is_named_with_the_reason(make_run, file, content, message):
    path = make_run("bad") / file
    path.unlink()
    if content is not None:
        path.write_text(content, encoding="latin-1")
    with pytest.raises(RunError, match=f"bad: .*{message}") as caught:
        read_run(path.parent)
    assert str(caught.value).isprintable()


def test_text_for_a_terminal_holds_no_control_characters():
    assert plain("a\x1b[31mb\n") == "a?[31mb?"
    assert len(plain("x" * 10_000)) == 200
