"""Settings of a box to dial in: which, in which order, and as a table."""

import pytest
import torch

from fxemu.effects.capture_settings import parse_knobs, read_settings, settings_to_record, write_settings
from fxemu.models.knobs import Knob, KnobError, positions


def test_knobs_on_the_command_line():
    assert parse_knobs("gain:0-10, tone_hz:100-8000,level_db:-20--2.5") == [
        Knob("gain", 0, 10, 0),
        Knob("tone_hz", 100, 8000, 100),
        Knob("level_db", -20, -2.5, -20),
    ]
    for wrong in ("gain", "gain:0", "gain:5-5", "gain:0-1,gain:0-2", "file:0-1", "tone_hz:0-9", "a b:0-1", ""):
        with pytest.raises(KnobError):
            parse_knobs(wrong)


@pytest.mark.parametrize("count", [15, 40])
def test_settings_have_the_corners_and_fill_the_ranges(count):
    knobs = parse_knobs("gain:0-10,tone_hz:100-8000")
    settings = settings_to_record(knobs, count)
    assert len(settings) == count and settings == settings_to_record(knobs, count)
    found = [(setting["gain"], setting["tone_hz"]) for setting in settings]
    assert found[0] == (0, 100) and {(g, t) for g in (0, 10) for t in (100, 8000)} <= set(found)
    assert all(value == float(f"{value:.2g}") for pair in found for value in pair)
    at = torch.stack([positions(knobs, setting) for setting in settings])
    # Of each knob about one in each part of its range, and few large turns.
    for column in at.T:
        gaps = column.sort().values.diff()
        assert gaps.max() < 4.5 / (count - 4)
    shuffled = at[torch.randperm(count, generator=torch.Generator().manual_seed(0))]
    assert at.diff(dim=0).abs().sum() < 0.6 * shuffled.diff(dim=0).abs().sum()


def test_too_few_settings_are_refused():
    with pytest.raises(KnobError, match="must be from 6 to 99"):
        settings_to_record(parse_knobs("gain:0-10"), 3)


def test_a_table_is_read_as_it_was_written(tmp_path):
    settings = {"a-01.wav": {"gain": 0.5, "tone": -3.0}, "a-02.wav": {"gain": 10.0, "tone": 7.25}}
    write_settings(tmp_path / "a.csv", settings, {"a-01.wav": 40.2, "a-02.wav": 41.0})
    assert (tmp_path / "a.csv").read_text().startswith("file,gain,tone,seconds\na-01.wav,0.5,-3,40\n")
    assert read_settings(tmp_path / "a.csv") == settings


@pytest.mark.parametrize(
    "content", [None, "", "file,gain\n", "name,gain\na,1\n", "file,gain\na,loud\n", "file,gain\na\n"]
)
def test_a_table_that_is_none_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "a.csv").write_text(content)
    with pytest.raises(KnobError, match=r"a\.csv"):
        read_settings(tmp_path / "a.csv")
