"""The comparison page: everything inside it, nothing of a run's text as markup, and alive in a real browser."""

import base64
import html as markup
import io
import json
import re
import struct
import zlib
from pathlib import Path

import av
import pytest
import torch
from helpers.browser import eventually, opened
from PIL import Image

from fxemu.audio.tensors import write_wav
from fxemu.evaluation.compare import differing_options, group_runs, tasks
from fxemu.evaluation.pages.compare_page import LETTER, RADIUS, compare_page, free_places
from fxemu.evaluation.pages.html import SOUND_BYTES, picture
from fxemu.evaluation.runs import read_run

EVIL = '<script>document.title = "owned"</script><img src=x onerror="document.title = 1">"\''


def page_of(*folders: Path, seconds: float = 1.0) -> str:
    groups = group_runs(map(read_run, folders))
    return compare_page(differing_options(groups), tasks(groups), songs=3, seconds=seconds, place=folders[0].parent)


def sounds_in(html: str) -> list[bytes]:
    blocks = re.findall(r'<script type="application/json">(.*?)</script>', html, re.DOTALL)
    return [base64.b64decode(sound["flac"]) for block in blocks for sound in json.loads(block)]


@pytest.fixture
def html(make_run) -> str:
    """Two configs, one of them with a hostile text in its config and in the name of a song."""
    songs = [{"name": "band/a.mp3", "esr": 0.1}, {"name": EVIL, "esr": 0.1}]
    levels = [{"level_db": 0, "esr": 0.1}, {"level_db": -48, "esr": 0.3}]
    good = make_run("good", {"loss": "esr"}, songs=songs, levels=levels, esr=0.01)
    evil = make_run("evil", {"loss": EVIL}, songs=songs, levels=levels)
    (good / "report.html").write_text("a page")
    return page_of(good, evil)


def test_players_of_less_than_a_sample_play_one(make_run):
    page = page_of(make_run("short", songs=[{"name": "band/a.mp3", "esr": 0.1}]), seconds=1e-6)
    assert len(sounds_in(page)) == 3


def test_it_needs_nothing_from_outside_but_the_pages_of_runs(html):
    addresses = re.findall(r'(?:src|href)="([^"]{0,20})', html)
    assert "good/report.html" in addresses and "#run-0-1" in addresses
    assert all(address.startswith(("data:", "#", "good/")) for address in addresses)
    assert "http" not in re.sub(r"http-equiv|base64,[^\"]*", "", html)


def test_text_of_a_run_is_never_markup(html):
    assert "<script>document" not in html and "onerror=&#34;" in html


def test_players_hold_the_same_stretch_of_each_sound(html):
    sounds = sounds_in(html)
    assert len(sounds) == 4  # dry, target and two predictions; the song without files has none
    for sound in sounds:
        with av.open(io.BytesIO(sound)) as container:
            assert sum(frame.samples for frame in container.decode(audio=0)) == 8000


def test_sounds_of_many_runs_stay_within_what_a_page_may_hold(make_run, monkeypatch):
    monkeypatch.setattr("fxemu.evaluation.pages.compare_page.SOUND_BYTES", 300_000)
    folders = [make_run(f"run{i}", {"model.width": i}, esr=0.01 * (i + 1)) for i in range(9)]
    html = page_of(*folders)
    assert 3 <= len(sounds_in(html)) < 9 and len(html) < 200_000 < SOUND_BYTES
    assert html.count('<tr id="run-0-') == 9


def test_however_many_effects_there_are_each_can_be_heard_beside_its_target(make_run, monkeypatch):
    monkeypatch.setattr("fxemu.evaluation.pages.compare_page.SOUND_BYTES", 2_000_000)
    folders = [make_run(f"{n}-{i}", {"effect.gain": n, "model.width": i}) for n in range(5) for i in range(2)]
    html = page_of(*folders, seconds=30.0)
    assert len(sounds_in(html)) == 5 * 4  # target, two predictions, dry


def test_labels_of_points_do_not_overlap_and_the_first_have_theirs():
    points = [(100.0 + 9 * (i % 4), 100.0 + 9 * (i // 4)) for i in range(12)] + [(400.0, 100.0)]
    places = free_places(points, [2] * len(points))
    assert places[0] and places[-1] == (400.0 + RADIUS + 2, 100.0) and None in places
    boxes = [(x, y - 6, x + 2 * LETTER, y + 6) for x, y in filter(None, places)]
    boxes += [(x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS) for x, y in points]
    labels = len(boxes) - len(points)
    for i, (left, top, right, bottom) in enumerate(boxes[:labels]):
        for other in boxes[i + 1 :]:
            assert left >= other[2] or other[0] >= right or top >= other[3] or other[1] >= bottom


def test_the_best_run_is_named_on_top_and_that_of_each_effect(make_run):
    scores = {"loudness_error_lu": 2.0}
    runs = [make_run(f"run{i}", {"model.width": i}, esr=10.0**-i, **scores) for i in range(3)]
    text = markup.unescape(page_of(*runs))
    assert "Best: run2 (width 2): ESR -20.0 dB, 10.0 dB better than no. 2 (width 1), 20 dB better than the last" in text
    assert "loud: 2.0 LU louder than the target" in text and "Best of each effect" not in text
    other = make_run("other", {"effect.gain": 7.0}, esr=0.5)
    assert "Best of each effect" in page_of(*runs, other)


def test_files_that_no_run_writes_are_left_out(make_run, tmp_path):
    """A picture of 10 gigapixels or of another kind, and a sound at a rate that no player knows."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    (tmp_path / "bomb.png").write_bytes(png)
    (tmp_path / "other.png").write_bytes(b"<svg onload=alert(1)>")
    Image.new("RGB", (40, 20), "red").save(tmp_path / "good.png")
    assert picture(tmp_path / "bomb.png") is picture(tmp_path / "other.png") is picture(tmp_path / "none.png") is None
    webp = picture(tmp_path / "good.png").partition(",")[2]
    assert Image.open(io.BytesIO(base64.b64decode(webp))).size == (40, 20)
    folder = make_run("odd")
    write_wav(folder / "audio" / "band-a.mp3-prediction.wav", torch.zeros(50), 1_000_000)
    assert len(sounds_in(page_of(folder))) == 2


def test_it_lives_in_a_browser_without_a_network(html, tmp_path):
    """Plays one song at a time, sorts, shows the columns that are asked for and the run of a point."""
    (tmp_path / "page.html").write_text(html, encoding="utf-8")
    with opened(path=tmp_path / "page.html") as page:
        page.get_by_role("button", name="Play").click()
        assert eventually(page, "document.querySelector('.player').sounds.position > 0.05")
        names = "[...document.querySelectorAll('tbody tr td:nth-child(2)')].map(cell => cell.innerText)"
        page.get_by_role("button", name="run").click()
        assert page.evaluate(names) == ["evil", "good"]
        page.get_by_role("button", name="run").click()
        assert page.evaluate(names) == ["good", "evil"]
        head = page.locator("th", has_text="NMAE")
        assert not head.is_visible()
        page.get_by_text("Columns").click()
        page.get_by_label("NMAE").check()
        assert head.is_visible()
        page.locator("svg a").last.click()
        assert page.url.endswith("#run-0-2")
        assert page.evaluate("document.querySelector('tr:target td:nth-child(2)').innerText") == "evil"
        assert page.title() == "fxemu compare"
