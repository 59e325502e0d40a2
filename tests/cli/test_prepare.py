"""Wet songs made ahead of training: once each, found by the training, and whole though a machine is lost."""

import pytest
import torch
from helpers.commands import begun, forked, options
from hydra import compose, initialize_config_dir

from fxemu.cli.prepare import main, make_wet, songs
from fxemu.data import SongData
from fxemu.data.shard import WHOLE
from fxemu.data.wet_cache import WetCache
from fxemu.training.parts import build_parts
from fxemu.training.run import build
from fxemu.training.run_folder import CONF, ConfigError


def data_for(given: list[str]) -> SongData:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", given)
    return build(config, build_parts(config))[0]


@pytest.mark.parametrize("memory_hours", [0.25, 0])
def test_training_finds_every_song(library, memory_hours):
    """Whether it keeps the songs in memory or streams them."""
    given = [*options(library), f"data.memory_hours={memory_hours}", "data.excerpts=1"]
    data = data_for(given)
    todo = songs(data)
    assert [make_wet(data.effect, data.cache, data.sample_rate, *song) for song in todo] == [None] * 5
    assert begun(library) == 5
    again = data_for(given)
    again.setup()
    dry, wet = again.source.batches(0, WHOLE)[0]
    again.teardown("fit")
    assert torch.equal(wet, dry / 2) and bool(dry.any())
    assert (again.source.audio_seconds is None) == (memory_hours == 0)
    assert begun(library) == 5


def test_a_song_that_cannot_be_used_is_named(library, tmp_path):
    data = data_for(options(library))
    problem = make_wet(data.effect, WetCache(str(tmp_path)), 8000, str(tmp_path / "gone.wav"), None)
    assert "gone.wav" in problem


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["effect=tanh"], "needs no whole songs"),
        (["data.gain_db=[-6,0]"], "data.gain_db: got"),
        (["data.cache_gb=0.001", "data.sample_rate=192000"], "data.cache_gb: got 0.001; 5 wet .* take 0.002 GB"),
    ],
)
def test_what_cannot_be_prepared_is_refused(library, more, message):
    given = [f"data.library={library}"] if more == ["effect=tanh"] else options(library)
    with pytest.raises(ConfigError, match=message):
        songs(data_for([*given, *more]))


def test_the_command_says_what_it_made(library):
    done = forked(lambda: main(["--jobs", "1", *options(library)]), library.parent)
    assert "5/5" in done.stderr and f"5 wet song(s) in {library.parent / 'cache'}" in done.stdout, done.stderr
    assert len(list((library.parent / "cache").glob("*.npy"))) == begun(library) == 5
