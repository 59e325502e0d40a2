"""Settings of knobs: corners and everything between them, repeatable, and song by song in turns; others held out."""

from itertools import pairwise

import pytest
import torch

from fxemu.data.segments import RandomSegments
from fxemu.data.settings import HYPERCUBE, DrawnSettings, at_settings, drawn_setting
from fxemu.effects import Compressor, Distortion, Tremolo
from fxemu.effects.knobs import Turned, held_out_settings
from fxemu.library.pair import Pair
from fxemu.models.knobs import Knob, values

RATE, SEGMENT = 8000, 400
KNOBS = Knob("drive_db", 0.0, 40.0, 25.0), Knob("lowpass_hz", 500.0, 3000.0, 2000.0)


def effect(follows: bool = False) -> Turned:
    turned = Turned(lambda settings: Distortion(**settings), KNOBS)
    turned.tracked = Distortion.tracked if follows else ()
    return turned


def songs(count: int = 2, seconds: float = 2.4) -> list[Pair]:
    noise = torch.rand(count, int(seconds * RATE), generator=torch.Generator().manual_seed(1)) - 0.5
    return [Pair(f"song {i}", dry, dry) for i, dry in enumerate(noise)]


def drawn(seed: int = 0, gain_db: tuple[float, float] = (0.0, 0.0)) -> DrawnSettings:
    return DrawnSettings(songs(), effect(), RATE, gain_db, SEGMENT, seed, lambda effect: effect)


def test_a_hypercube_of_settings_has_the_corners_and_each_part_of_each_range():
    settings = torch.stack([drawn_setting(number, 2, seed=3) for number in range(HYPERCUBE)])
    corners = settings[settings.abs().min(dim=1).values == 1]
    assert sorted(corners.tolist()) == [[-1, -1], [-1, 1], [1, -1], [1, 1]]
    inner = settings[settings.abs().max(dim=1).values < 1]
    for knob in range(2):
        strata = ((inner[:, knob] + 1) / 2 * len(inner)).long()
        assert sorted(strata.tolist()) == list(range(HYPERCUBE - 4))
    assert not torch.equal(drawn_setting(HYPERCUBE, 2, 3), settings[0]), "the next hypercube is another"


def test_held_out_settings_are_none_that_is_trained_on():
    held_out = held_out_settings(16, 2, seed=0)
    trained = torch.stack([drawn_setting(number, 2, seed=0) for number in range(4 * HYPERCUBE)])
    assert held_out.abs().max() < 1 and torch.cdist(held_out, trained).min() > 0


def test_a_piece_is_what_the_effect_makes_of_its_song_at_its_setting():
    settings = drawn()
    assert len(settings.pieces) == 4
    whole = {song.name: song.dry for song in songs()}
    for piece, pair in enumerate(settings.pairs_for_epoch(2)):
        number, at = settings.drawn(piece, 2)
        assert torch.equal(at, pair.knobs) and torch.equal(at, drawn_setting(number, 2, 0))
        assert torch.equal(settings.settings(2)[piece], pair.knobs)
        wet = Distortion(**values(KNOBS, at))(whole[pair.name], RATE)
        start = (piece % 2) * pair.dry.numel()
        assert torch.allclose(pair.wet, wet[start : start + pair.wet.numel()], atol=1e-3)


def test_pieces_take_turns_and_repeat_by_seed_wherever_a_run_goes_on():
    settings = drawn(gain_db=(-20.0, 0.0))
    settings.turns = 2
    epochs = [settings.pairs_for_epoch(epoch) for epoch in range(4)]
    for earlier, later in pairwise(epochs):
        assert sum(not torch.equal(a.knobs, b.knobs) for a, b in zip(earlier, later, strict=True)) == 2
    resumed = drawn(gain_db=(-20.0, 0.0))
    resumed.turns = 2
    for a, b in zip(resumed.pairs_for_epoch(3), epochs[3], strict=True):
        assert torch.equal(a.knobs, b.knobs) and torch.equal(a.wet, b.wet)
    assert not torch.equal(drawn(seed=1).pairs_for_epoch(0)[0].knobs, epochs[0][0].knobs)


def test_segments_come_with_the_setting_of_their_piece():
    pairs = drawn().pairs_for_epoch(0)
    dry, _, knobs, levels = RandomSegments(pairs, SEGMENT, 20, 3, seed=0)[1]
    assert knobs.shape == (20, 2, 1)
    for segment, at, level in zip(dry[:, 0], knobs[..., 0], levels[:, 0, 0], strict=True):
        piece = next(pair for pair in pairs if torch.equal(pair.knobs, at))
        assert level == piece.wet.square().mean()
        assert (piece.dry.unfold(0, SEGMENT, 1) == segment).all(1).any()


def test_knobs_move_in_some_pieces_of_an_effect_that_follows_them():
    settings = DrawnSettings(songs(6), effect(True), RATE, (0.0, 0.0), SEGMENT, 0, lambda effect: effect)
    pairs = settings.pairs_for_epoch(0)
    moving = [pair for pair in pairs if pair.knobs.ndim == 2]
    assert 0 < len(moving) < len(pairs)
    assert any((pair.knobs.diff().abs().max(dim=1).values > 0).all() for pair in moving)
    batches = RandomSegments(pairs, SEGMENT, 20, 8, seed=0)
    assert [batches[i][2].shape[-1] for i in range(8)] == [1, 1, 1, SEGMENT, 1, 1, 1, SEGMENT]
    dry, wet, knobs, _ = batches[3]
    joined = torch.cat([torch.cat((pair.dry[None], pair.wet[None], pair.knobs)) for pair in moving], dim=1)
    windows = joined.unfold(1, SEGMENT, 1)
    for segment in torch.cat((dry, wet, knobs), dim=1):
        assert (windows[0] == segment[0]).all(1).any() and (windows == segment[:, None]).all(2).all(0).any()


@pytest.mark.parametrize("of", [Distortion, Compressor, Tremolo])
def test_an_effect_takes_tracks_of_values(of):
    ranges = {
        "drive_db": (0, 40),
        "lowpass_hz": (500, 3000),
        "threshold_db": (-40, 0),
        "ratio": (1, 20),
        "depth": (0, 1),
    }
    names = [name for name in of().tracked if name in ranges]
    turned = Turned(lambda settings: of(**settings), [Knob(name, *ranges[name], ranges[name][0]) for name in names])
    assert names and turned.follows
    dry, (start, end) = songs(1)[0].dry, torch.tensor([[-0.5], [0.6]]).expand(2, len(names))
    half, rest = dry.numel() // 2, dry.numel() - dry.numel() // 2
    wet = turned.moving(torch.cat((start[:, None].expand(-1, half), end[:, None].expand(-1, rest)), dim=1))(dry, RATE)
    assert torch.allclose(wet[:half], turned.at(start)(dry, RATE)[:half], atol=1e-6)
    assert torch.allclose(wet[-2000:], turned.at(end)(dry, RATE)[-2000:], atol=1e-3)
    assert not torch.allclose(wet[-2000:], turned.at(start)(dry, RATE)[-2000:], atol=1e-2)


def test_held_out_songs_are_at_held_out_settings():
    pairs = at_settings(songs(1), effect(), RATE, SEGMENT, seed=0)
    assert torch.equal(torch.stack([pair.knobs for pair in pairs]), held_out_settings(2, 2, 0))
    assert torch.equal(torch.cat([pair.dry for pair in pairs]), songs(1)[0].dry)


def test_an_effect_refuses_a_range_beyond_its_own():
    with pytest.raises(ValueError, match="drive_db: got 90"):
        Turned(lambda settings: Distortion(**settings), [Knob("drive_db", 0.0, 90.0, 25.0)])
