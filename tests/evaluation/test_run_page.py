"""The page of a run: everything inside it, nothing of a run's text as markup, and players that run in step."""

import base64
import io
import json
import re
import shlex
from pathlib import Path

import av
import pytest
import torch
import yaml
from helpers.browser import eventually, opened
from PIL import Image

from fxemu.audio.tensors import write_wav
from fxemu.cli.report import main
from fxemu.evaluation.character import sound_in_brief, sound_in_words
from fxemu.evaluation.pages.run_page import run_page, shown_songs
from fxemu.evaluation.runs import Run, read_run

EVIL = '<script>document.title = "owned"</script><img src=x onerror="document.title = 1">"\''


@pytest.fixture
def folder(make_run):
    """A run with hostile text in its config and in its command."""
    scores = {"esr": 0.001, "inverted_esr": 3.9, "mrstft": 0.5, "esr_treble": 0.02, "loudness_error_lu": -0.25}
    levels = [{"level_db": 0, "esr": 0.001}, {"level_db": -48, "esr": 0.3}]
    folder = make_run("my run", {"loss": EVIL, "model._target_": "fxemu.models.GRU"}, levels=levels, **scores)
    wet = 0.5 * torch.sin(0.2 * torch.arange(16_000))
    write_wav(folder / "audio" / "band-a.mp3-prediction.wav", wet + 0.01 * torch.cos(3.0 * wet), 8000)
    (folder / "plots").mkdir()
    Image.new("RGB", (40, 20), "red").save(folder / "plots" / "band-a.mp3-waveform.png")
    (folder / "plots" / "levels.png").write_bytes(b"<svg onload=alert(1)>")
    (folder / ".hydra").mkdir()
    (folder / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(["effect=tanh", f"loss={EVIL}"]))
    return folder


@pytest.fixture
def html(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    return run_page(read_run(folder))


def sounds_in(html: str) -> list[dict]:
    return [
        sound
        for block in re.findall(r'<script type="application/json">(.*?)</script>', html, re.DOTALL)
        for sound in json.loads(block)
    ]


@pytest.mark.parametrize(
    ("baselines", "sentence"),
    [
        (
            {"gain": {"esr": 0.42}, "fir": {"esr": 0.3}},
            "; the best short filter leaves -5 dB, a volume knob at its best",
        ),
        ({"gain": {"esr": EVIL}, "fir": 3}, "(ESR, lower is better)."),
        ([EVIL], "(ESR, lower is better)."),
    ],
)
def test_the_trivial_stand_beside_it(make_run, baselines, sentence):
    page = run_page(read_run(make_run("run", baselines=baselines)))
    assert "Its error is -10 dB relative to the signal (ESR, lower is better)" in page and sentence in page


def test_what_sounds_best_and_worst_and_why_it_won_stand_on_top(make_run):
    songs = [
        {"name": f"{name}.wav", "esr": esr} for name, esr in zip("abcde", (0.1, 0.001, 0.1, 1.0, 0.1), strict=True)
    ]
    folder = make_run("run", songs=songs, esr_treble=0.01, loudness_error_lu=0.1)
    metrics = json.loads((folder / "metrics.json").read_text())
    (folder / "metrics.json").write_text(json.dumps({**metrics, "race": {"why": "gru won <b>"}}))
    run = read_run(folder)
    top = run_page(run).partition("<h2>")[0]
    for words in (
        "b.wav, -30 dB; d.wav, 0 dB.",
        "as loud as the target",
        "clean treble: above 4 kHz its error is -20 dB",
        "gru won &lt;b&gt;",
    ):
        assert words in top, words
    assert shown_songs(run) == ["d.wav", "b.wav", "a.wav"]


@pytest.mark.parametrize(
    ("scores", "brief", "phrase"),
    [
        ({"esr_treble": 0.001, "treble_level_db": 0.1, "loudness_error_lu": 0.1}, "like the target", "as loud as"),
        (
            {"esr_treble": 0.9, "treble_level_db": -6.0, "loudness_error_lu": -3.0},
            "quiet, dull",
            "treble 6 dB too quiet",
        ),
        ({"esr_treble": 3.0, "treble_level_db": 4.0, "loudness_error_lu": 1.0}, "loud, bright", "1.0 LU louder"),
        ({"esr_treble": 0.9, "treble_level_db": 0.0}, "rough", "rough: above 4 kHz its error is -0 dB"),
        ({"esr_treble": 0.1}, "a little rough", "above 4 kHz"),
        ({"divergences": 1}, "stuck", "1 of 1 songs end stuck"),
        ({}, "", ""),
    ],
)
def test_how_it_sounds_is_told_by_its_figures(scores, brief, phrase):
    run = Run(Path("run"), {}, {"esr": 0.1, **scores}, {}, {"a.wav": 0.1})
    assert sound_in_brief(run) == brief and phrase in "; ".join(sound_in_words(run))


def test_what_the_effect_is_stands_on_the_page_as_text(folder):
    metrics = json.loads((folder / "metrics.json").read_text())
    (folder / "metrics.json").write_text(json.dumps({**metrics, "box": "a limiter <b>"}))
    assert "By its sound: a limiter &lt;b&gt;" in run_page(read_run(folder))


def test_a_knob_s_sweep_can_be_played(make_run):
    folder = make_run("run", {"knobs.drive_db": [0, 40], "knobs.gone": [0, 1]})
    write_wav(folder / "audio" / "sweep of drive_db-prediction.wav", torch.rand(8000) - 0.5, 8000)
    page = run_page(read_run(folder))
    assert "drive_db turned over [0, 40]" in page and "gone turned" not in page


@pytest.mark.parametrize("place", ["outdone", "knobs", "contraction"])
def test_what_the_report_warns_of_stands_on_the_page(folder, place):
    metrics = json.loads((folder / "metrics.json").read_text())
    said = {"outdone": "a <b> knob is better", "knobs": {"outdone": "a <b> knob is better"}}
    metrics["test"][place] = said.get(place, {"warning": "a <b> knob is better"})
    (folder / "metrics.json").write_text(json.dumps(metrics))
    assert "A &lt;b&gt; knob is better." in run_page(read_run(folder))


def test_it_needs_nothing_from_outside_and_text_is_never_markup(html):
    addresses = re.findall(r'(?:src|href)="([^"]{0,20})', html)
    assert len(addresses) == 2 and all(address.startswith("data:") for address in addresses)
    assert "http" not in re.sub(r"http-equiv|base64,[^\"]*", "", html)
    assert "<script>document" not in html and "onerror=&#34;" in html
    assert "svg onload" not in html


def test_it_says_what_was_asked_what_the_effect_is_and_how_well_it_does(html):
    text = re.sub(r"<[^>]*>", " ", html)
    for words in (
        "Tanh learned by GRU",
        "gain 5",
        "1.0e-03",
        "-30 dB",
        "-0.2 LU",
        "2.00e-02",
        "fxemu train effect=tanh",
    ):
        assert words in text, words
    assert "upside down" not in text


def test_commands_name_the_run_for_a_shell(html):
    (render,) = re.findall(r"<pre>(fxemu render .*)</pre>", html.replace("&#39;", "'"))
    assert shlex.split(render)[:3] == ["fxemu", "render", "my run"]


def test_its_sounds_are_one_stretch_at_their_levels(html):
    target, prediction, dry, error = sounds_in(html)
    waves = []
    for sound in (target, prediction, dry, error):
        with av.open(io.BytesIO(base64.b64decode(sound["flac"]))) as container:
            frames = [torch.from_numpy(frame.to_ndarray()[0]) for frame in container.decode(audio=0)]
            waves.append(torch.cat(frames) * sound["gain"] / 2**15)
    assert {wave.numel() for wave in waves} == {2 * 8000}
    assert torch.allclose(waves[1] - waves[0], waves[3], atol=1e-4)
    assert target["lufs"] > -20


def test_the_command_writes_it_and_a_folder_that_is_no_run_is_named(folder, capsys):
    main([str(folder), "--no-browser"])
    assert (folder / "report.html").is_file() and "report.html" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main([str(folder.parent), "--no-browser"])
    assert "not finished" in capsys.readouterr().err


def test_players_change_sounds_at_the_same_moment_in_a_browser(folder):
    main([str(folder), "--no-browser"])
    with opened(path=folder / "report.html") as page:
        page.get_by_role("button", name="Play").click()
        page.evaluate("window.p = document.querySelector('.player').sounds")
        assert eventually(page, "p.running && p.position > 0.05")
        sources = page.evaluate_handle("p.running.sources")
        page.get_by_role("button", name="prediction").click()
        # The same sources go on; one gain is up, and the others are down.
        assert page.evaluate("sources => p.running.sources === sources && p.chosen === 1", sources)
        assert eventually(page, "p.running.gains.every((node, i) => Math.abs(node.gain.value - (i == 1)) < 0.01)")
        page.get_by_label("same loudness").check()
        page.locator(".amplify").fill("6")
        assert page.evaluate("p.volume(3) / p.sounds[3].gain") == pytest.approx(2, rel=0.01)
        matched = [page.evaluate(f"20 * Math.log10(p.volume({i})) + p.sounds[{i}].lufs") for i in range(3)]
        assert max(matched) - min(matched) < 1e-6 and max(page.evaluate("[0, 1, 2].map(i => p.volume(i))")) <= 1
        page.get_by_role("button", name="Pause").click()
        assert page.evaluate("p.running === null && p.offset > 0") and page.title() == "my run"
