"""The comparison page: everything inside it, nothing of a run's text as markup, and alive in a real browser."""

import base64
import io
import re
import shutil
import struct
import time
import zlib
from pathlib import Path

import av
import pytest
import torch
from PIL import Image

from fxemu.audio.tensors import write_wav
from fxemu.evaluation.compare import SCORES, differing_options, group_runs, tasks
from fxemu.evaluation.page import make_page
from fxemu.evaluation.runs import read_run

EVIL = '<script>document.title = "owned"</script><img src=x onerror="document.title = 1">"\''
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def page_of(*folders: Path, seconds: float = 1.0) -> str:
    groups = group_runs(map(read_run, folders))
    return make_page(differing_options(groups), list(SCORES), tasks(groups), songs=3, seconds=seconds)


@pytest.fixture
def html(make_run) -> str:
    """Two configs, one of them with a hostile text in its config and in the name of a song."""
    songs = [{"name": "band/a.mp3", "esr": 0.1}, {"name": EVIL, "esr": 0.1}]
    levels = [{"level_db": 0, "esr": 0.1}, {"level_db": -48, "esr": 0.3}]
    good = make_run("good", {"loss": "esr"}, songs=songs, levels=levels, esr=0.01)
    evil = make_run("evil", {"loss": EVIL}, songs=songs, levels=levels)
    (good / "plots").mkdir()
    Image.new("RGB", (40, 20), "red").save(good / "plots" / "band-a.mp3-waveform.png")
    (evil / "plots").mkdir()
    (evil / "plots" / "band-a.mp3-waveform.png").write_bytes(b"<svg onload=alert(1)>")
    return page_of(good, evil)


def test_players_of_less_than_a_sample_play_one(make_run):
    page = page_of(make_run("short", songs=[{"name": "band/a.mp3", "esr": 0.1}]), seconds=1e-6)
    assert page.count('src="data:audio/flac') == 3


def test_it_needs_nothing_from_outside(html):
    addresses = re.findall(r'(?:src|href)="([^"]{0,20})', html)
    assert len(addresses) >= 6 and all(address.startswith("data:") for address in addresses)
    assert "http" not in re.sub(r"http-equiv|base64,[^\"]*", "", html)


def test_text_of_a_run_is_never_markup(html):
    assert "<script>document" not in html and "onerror=&#34;" in html
    assert html.count("<script") == 1


def test_players_hold_the_same_stretch_of_each_sound(html):
    sounds = [base64.b64decode(data) for data in re.findall(r'src="data:audio/flac;base64,([^"]+)', html)]
    assert len(sounds) == 4  # dry, target and two predictions; the song without files has none
    for sound in sounds:
        with av.open(io.BytesIO(sound)) as container:
            assert sum(frame.samples for frame in container.decode(audio=0)) == 8000


def test_pictures_are_drawn_anew_and_broken_ones_left_out(html):
    (picture,) = re.findall(r'src="data:image/webp;base64,([^"]+)', html)
    assert Image.open(io.BytesIO(base64.b64decode(picture))).size == (40, 20)
    assert "svg" not in re.sub(r"base64,[^\"]*", "", html)


def eventually(target, script: str) -> bool:
    """Whether a script on a page or an element comes true in 20 s (Playwright's own wait needs eval, barred here)."""
    for _ in range(200):
        if target.evaluate(script):
            return True
        time.sleep(0.1)
    return False


def test_files_that_no_run_writes_are_left_out(make_run):
    """A picture of 10 gigapixels, and a sound at a rate that no player knows."""
    folder = make_run("bomb")
    (folder / "plots").mkdir()
    header = b"IHDR" + struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    (folder / "plots" / "levels.png").write_bytes(png)
    write_wav(folder / "audio" / "band-a.mp3-prediction.wav", torch.zeros(50), 1_000_000)
    html = page_of(folder)
    assert "image/webp" not in html and html.count("audio/flac") == 2 and "no audio in this run" in html


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium; apt-get install chromium")
def test_it_lives_in_a_browser_without_a_network(html, tmp_path):
    """Loads without a request or an error, plays one sound at a time from where the last one was, and sorts."""
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    (tmp_path / "page.html").write_text(html, encoding="utf-8")
    with playwright.sync_playwright() as start:
        flags = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        browser = start.chromium.launch(executable_path=CHROMIUM, args=flags)
        page = browser.new_context(offline=True).new_page()
        complaints, requests = [], []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url.partition(":")[0]))
        page.goto((tmp_path / "page.html").as_uri())
        first, second = page.query_selector_all("audio")[:2]
        first.evaluate("audio => audio.play()")
        assert eventually(first, "audio => audio.readyState === 4 && audio.currentTime > 0.05")
        second.evaluate("audio => audio.play()")
        assert eventually(second, "audio => audio.readyState === 4 && audio.currentTime > 0.05")
        assert eventually(first, "audio => audio.paused") and not first.evaluate("audio => audio.ended")
        first_column = "[...document.querySelectorAll('tbody tr td:last-child')].map(cell => cell.innerText)"
        page.get_by_role("button", name="folder").click()
        assert page.evaluate(first_column) == ["evil", "good"]
        page.get_by_role("button", name="folder").click()
        assert page.evaluate(first_column) == ["good", "evil"]
        pictures = "[...document.images].every(image => image.complete && image.naturalWidth > 0)"
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        assert eventually(page, pictures)
        assert page.title() == "fxemu compare"
        assert complaints == [] and set(requests) <= {"file", "data"}
        browser.close()
