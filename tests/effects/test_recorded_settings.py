"""Where the knobs stood in a recording: by a table beside it, or by its name."""

from pathlib import Path

import pytest

from fxemu.effects.recorded_settings import TABLE, positions_of
from fxemu.models.knobs import Knob, KnobError

KNOBS = Knob("gain", 0.0, 1.0, 0.5), Knob("tone_hz", 100.0, 1000.0, 500.0)


def recordings(folder: Path, *names: str) -> list[tuple[Path, Path]]:
    return [(folder / "dry" / name, folder / "wet" / name) for name in names]


@pytest.mark.parametrize("place", [".", "dry", "wet"])
def test_a_table_beside_the_files_or_above(tmp_path, place):
    for folder in ("dry", "wet"):
        (tmp_path / folder).mkdir()
    (tmp_path / place / TABLE).write_text("file,tone_hz,gain,note\nb.wav,1000,0.25,hot\na,100,1,\n")
    found = positions_of(recordings(tmp_path, "a.wav", "b.wav"), KNOBS)
    assert [at.tolist() for at in found] == [[1.0, -1.0], [-0.5, 1.0]]


def test_names_hold_values(tmp_path):
    pairs = recordings(tmp_path, "riff_gain_0.25_tone_hz_1000.wav", "bass-GAIN=1-tone_hz100.wav")
    assert [at.tolist() for at in positions_of(pairs, KNOBS)] == [[-0.5, 1.0], [1.0, -1.0]]
    dry, wet = tmp_path / "riff.wav", tmp_path / "riff gain-0 tone_hz-100.wav"
    assert positions_of([(dry, wet), *pairs], KNOBS)[0].tolist() == [-1.0, -1.0]


@pytest.mark.parametrize(
    ("table", "why"),
    [
        (None, r"a\.wav: has no setting of gain, tone_hz; give knobs\.csv, or names such as gain_0\.25"),
        ("file,gain\na,1\nb,0\n", "has no setting of gain, tone_hz; knobs.csv must have a row for it"),
        ("file,gain,tone_hz\na,1,200\n", r"b\.wav: has no setting"),
        ("file,gain,tone_hz\na,loud,200\nb,1,200\n", r"a\.wav: has no setting"),
        ("file,gain,tone_hz\na,1,200\nb,1,300\n", "knobs.gain: stands at 1 in every recording; leave it out"),
        ("file,gain,tone_hz\na,1,200\nb,7,300\n", "gain: got 7.0; must be from 0 to 1"),
        ("name,gain\na,1\n", "must be a CSV file with file and the names of knobs"),
        ("", "must have a row for it"),
    ],
)
def test_what_is_missing_or_out_of_range_is_refused(tmp_path, table, why):
    if table is not None:
        (tmp_path / TABLE).write_text(table)
    with pytest.raises(KnobError, match=why):
        positions_of(recordings(tmp_path, "a.wav", "b.wav"), KNOBS)
