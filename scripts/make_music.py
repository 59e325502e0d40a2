"""Cut the music that `benchmark.py boxes` is measured on: 136 s of each of five tracks of Debian's warzone2100-music.

Run `python scripts/make_music.py /usr/share/games/warzone2100/music MUSIC`, then `benchmark.py boxes --library MUSIC`.
"""

import argparse
from pathlib import Path

import torch

from fxemu.audio.tensors import write_wav
from fxemu.library import read_audio_normalized

TRACKS = (
    "original_soundtrack/track1",
    "original_soundtrack/track3",
    "legacy_soundtrack/track5",
    "legacy_soundtrack/track10",
    "aftermath_soundtrack/track20",
)
BEGIN_S, SECONDS, SAMPLE_RATE = 60, 136, 44_100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="the package's folder of music")
    parser.add_argument("target", type=Path, help="folder for five WAV files")
    options = parser.parse_args()
    options.target.mkdir(parents=True, exist_ok=True)
    for track in TRACKS:
        song = read_audio_normalized(options.source / "albums" / f"{track}.opus", SAMPLE_RATE)
        excerpt = song[BEGIN_S * SAMPLE_RATE : (BEGIN_S + SECONDS) * SAMPLE_RATE]
        path = options.target / f"{track.replace('/', '-')}.wav"
        write_wav(path, torch.from_numpy(excerpt), SAMPLE_RATE)
        print(f"wrote {path}: {len(excerpt) / SAMPLE_RATE:.0f} s")


if __name__ == "__main__":
    main()
