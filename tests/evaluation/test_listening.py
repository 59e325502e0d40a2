"""Blind listening tests: fair orders, nothing that tells, p-values as the binomial says, and a simulated listener."""

import json
import random
import re
from collections import Counter

import pytest
from helpers.browser import opened as browser_page
from scipy.stats import binomtest

from fxemu.cli.compare import main as compare
from fxemu.cli.listen import main
from fxemu.evaluation.listening import (
    ANCHOR,
    FORMAT,
    REFERENCE,
    draw_order,
    half_interval,
    opened,
    p_value,
    read_result,
    run_key,
    sealed,
    with_listening,
)
from fxemu.evaluation.pages.listen_page import _plan
from fxemu.evaluation.runs import RunError, read_run

TRIALS = 20
# Answers each trial of a page by a list of right (true) and wrong; rates runs 70, the reference 100, the anchor 20.
LISTENER = """async right => {
  if (document.getElementById("test").hidden) document.getElementById("start").click();
  const hearAll = async () => {
    await sounds.play();
    document.querySelectorAll(".sources button").forEach((button) => button.click());
  };
  for (const trial of right) {
    await hearAll();
    const {target} = plan.abx[answers.abx.length];
    document.querySelectorAll(".answers button")[target === trial ? 0 : 1].click();
  }
  while (document.getElementById("end").hidden) {
    await hearAll();
    const {items} = plan.mushra[answers.mushra.length];
    document.querySelectorAll(".rating input").forEach((slider, i) => {
      slider.value = {reference: 100, anchor: 20}[items[i]] ?? 70;
      slider.dispatchEvent(new Event("input"));
    });
    document.querySelector(".answers > button").click();
  }
  return summary();
}"""


@pytest.fixture
def runs(make_run):
    songs = [{"name": "band/a.mp3", "esr": 0.1}]
    return [make_run(f"secret-{name}", {"loss": name}, songs=songs) for name in ("one", "two")]


@pytest.fixture
def page(runs, tmp_path):
    path = tmp_path / "listen.html"
    main([*map(str, runs), "--output", str(path), "--seed", "3", "--seconds", "1", "--no-browser"])
    return path


def test_an_order_is_fair_and_of_its_seed():
    order = draw_order(1, 3, 2, 40)
    assert order == draw_order(1, 3, 2, 40) != draw_order(2, 3, 2, 40)
    assert set(Counter(trial.run for trial in order.trials).values()) == {40}
    assert set(Counter((trial.run, trial.song) for trial in order.trials).values()) == {20}
    assert 40 < sum(trial.target for trial in order.trials) < 80
    assert sorted(song for song, _ in order.screens) == [0, 1]
    assert all({*items} == {0, 1, 2, REFERENCE, ANCHOR} for _, items in order.screens)


def test_nothing_in_the_page_tells_which_is_which(page):
    html = page.read_text()
    assert "secret" not in html and "band" not in re.sub(r"[A-Za-z0-9+/=]{80,}", "", html)
    data = json.loads(re.search(r'id="data">(.*?)</script>', html, re.DOTALL)[1])
    assert set(data["sounds"][0]) == {"flac", "gain", "lufs"} and len(data["sounds"]) == 4
    plan = opened(data["plan"], data["salt"])
    assert [run["name"] for run in plan["runs"]] == ["secret-one", "secret-two"]
    assert opened(sealed(plan, "00ff00ff"), "00ff00ff") == plan


def test_runs_are_named_as_by_compare_also_where_they_share_it(make_run, tmp_path):
    shared = {"repr.input._target_": "fxemu.representations.Raw", "repr.output._target_": "MuLaw"}
    options = {**shared, "model._target_": "GRU", "model.feedback": False}
    runs = [read_run(make_run(f"run{width}", {**options, "model.width": width})) for width in (1, 2)]
    plan = _plan(runs, [], draw_order(0, 2, 0, 0), {})
    assert [run["what"] for run in plan["runs"]] == [f"no feedback, raw, mulaw out, width {width}" for width in (1, 2)]


def test_sounds_are_equally_loud(page):
    data = json.loads(re.search(r'id="data">(.*?)</script>', page.read_text(), re.DOTALL)[1])
    plan = opened(data["plan"], data["salt"])
    (screen,) = plan["mushra"]
    lufs = {item: data["sounds"][sound]["lufs"] for item, sound in zip(screen["items"], screen["sounds"], strict=True)}
    assert max(lufs.values()) - min(lufs.values()) < 0.1


@pytest.mark.parametrize("skill", [0.5, 0.9])
def test_p_values_are_the_binomials_for_listeners_of_known_skill(skill):
    chance = random.Random(0)
    found = [p_value(sum(chance.random() < skill for _ in range(TRIALS)), TRIALS) for _ in range(100)]
    below = sum(p < 0.05 for p in found)
    # 15 right of 20 are needed: 2.1 % of those who guess are, and 99 % of those who are right 9 times in 10.
    assert below <= 8 if skill == 0.5 else below >= 94


def answered(runs, right: int) -> dict:
    keys = [run_key(read_run(run)) for run in runs]
    abx = [{"run": keys[0], "right": i < right} for i in range(TRIALS)]
    ratings = [{"ratings": {keys[0]: value, REFERENCE: 100, ANCHOR: 20}} for value in (60, 70, 80)]
    return {"format": FORMAT, "abx": abx, "mushra": ratings}


def test_results_are_read_back_by_compare(runs, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    path = tmp_path / "result.json"
    path.write_text(json.dumps(answered(runs, 15)))
    heard, other = with_listening(map(read_run, runs), [read_result(path)])
    assert heard.scores["abx_right"] == 0.75 and heard.scores["abx_p"] == pytest.approx(0.0207, abs=1e-4)
    assert heard.scores["mushra"] == 70 and heard.scores["mushra_interval"] == half_interval([60, 70, 80])
    assert half_interval([60, 70, 80]) == pytest.approx(24.84, abs=0.01)
    assert "abx_p" not in other.scores
    compare([str(tmp_path / "runs"), "--output", str(tmp_path / "table"), "--listening", str(path)])
    assert re.search(r"ABX right +ABX p +MUSHRA", capsys.readouterr().out)
    assert "75%" in (tmp_path / "table.html").read_text() and "0.021" in (tmp_path / "table.html").read_text()


@pytest.mark.parametrize("content", ["{}", "[]", '{"format": "fxemu listening test 1", "abx": [1], "mushra": []}', "x"])
def test_what_is_no_result_is_named(tmp_path, content):
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(RunError, match=r"result.json: cannot be read as the result of a listening test"):
        read_result(tmp_path / "result.json")


def test_runs_of_several_effects_are_refused(make_run, runs, capsys, tmp_path):
    other = make_run("other", {"effect._target_": "fxemu.effects.RingModulator"})
    with pytest.raises(SystemExit):
        main([str(runs[0]), str(other), "--output", str(tmp_path / "x.html"), "--no-browser"])
    assert "several effects or test songs" in capsys.readouterr().err and not (tmp_path / "x.html").exists()


def test_a_simulated_listener_takes_it_in_a_browser(page, runs, tmp_path):
    with browser_page(path=page) as tab:
        tab.evaluate("document.getElementById('start').click()")
        answer = tab.get_by_role("button", name="X is A")
        assert answer.is_disabled() and "Play first: A: target, B: model, X" in tab.evaluate("document.body.innerText")
        tab.get_by_role("button", name="X", exact=True).click()
        for _ in range(400):
            if tab.evaluate("sounds.position > 0.05"):
                break
        assert tab.evaluate("sounds.running !== null && sounds.chosen === 2") and answer.is_disabled()
        tab.get_by_role("button", name="A: target").click()
        tab.get_by_role("button", name="B: model").click()
        assert answer.is_enabled()
        text = tab.evaluate("document.body.innerText")
        assert "secret" not in text and "Trial 1 of 40" in text
        right = [i % 10 != 0 for i in range(2 * TRIALS)]
        found = tab.evaluate(LISTENER, right)
        assert sum(run["right"] for run in found[:2]) == 36
        for run in found[:2]:
            assert run["trials"] == TRIALS and (run["mushra"], run["mushra_interval"]) == (70, None)
            assert run["p"] == pytest.approx(binomtest(run["right"], TRIALS, alternative="greater").pvalue)
        assert [run["mushra"] for run in found[2:]] == [100, 20]
        end = tab.evaluate("document.getElementById('end').innerText")
        assert "secret-one" in end and "the ratings can be trusted" in end
        assert re.search(
            r"First, but too close to be sure: (one|two) sounds good: rated 70 of 100; the next got 70", end
        )
        assert "You can tell the best from the target: you were right 1" in end
        with tab.expect_download() as saving:
            tab.locator(".save").click()
        saving.value.save_as(tmp_path / "result.json")
        for rated, points, sure in (([80, 81, 80], "11 ± 1", True), ([70, 99, 80], "8 ± 34", False)):
            tab.evaluate(
                "rated => { plan.quantile = 4.303; answers.mushra = rated.map(([a, b]) => ({ratings: {a, b}})); }",
                list(zip((90, 92, 91), rated, strict=True)),
            )
            lead = tab.evaluate('lead({key: "a"}, {key: "b"})')
            assert lead == {"points": f", {points} less song by song", "sure": sure}
    heard = with_listening([read_run(runs[0])], [read_result(tmp_path / "result.json")])[0]
    assert heard.scores["mushra"] == 70 and heard.scores["abx_right"] >= 0.8
