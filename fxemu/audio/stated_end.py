"""The end that a file's own header states, in formats of which FFmpeg takes a truncated file for a whole one."""

from __future__ import annotations

import os
from typing import BinaryIO

import av

# Sizes of data from here on stand for an unknown one, as pipes have.
UNKNOWN_BYTES = 0x7FF0_0000
# Of an Ogg page, and of tags that some programs append.
LONGEST_PAGE, TAGS = 65_307, 4096


def stated_s(path: str, container: av.container.InputContainer) -> float:
    """The duration in s that the header of a PCM WAV file, or of Matroska with sound alone, states; 0 for others."""
    if container.format.name == "wav" and container.streams.audio[0].codec_context.name.startswith("pcm_"):
        with open(path, "rb") as file:
            return _wav_s(file)
    sound_alone = container.format.name.startswith("matroska") and len(container.streams) == 1
    return (container.duration or 0) / av.time_base if sound_alone else 0.0


def _wav_s(file: BinaryIO) -> float:
    """Seconds by the sizes of its chunks; 0 where its data has an unknown size."""
    bytes_a_second = 0
    if file.read(12)[:4] != b"RIFF":
        return 0.0
    while len(head := file.read(8)) == 8:
        size = int.from_bytes(head[4:], "little")
        if head[:4] == b"data":
            return size / bytes_a_second if bytes_a_second and size < UNKNOWN_BYTES else 0.0
        if head[:4] == b"fmt ":
            fields = file.read(14)
            bytes_a_second = int.from_bytes(fields[4:8], "little") * int.from_bytes(fields[12:], "little")
            size -= 14
        file.seek(size + size % 2, os.SEEK_CUR)
    return 0.0


def lacks_last_page(path: str, form: str) -> bool:
    """Whether a file is Ogg and its last page is not marked as the end of a stream."""
    if form != "ogg":
        return False
    with open(path, "rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - LONGEST_PAGE - TAGS))
        _, found, page = file.read().rpartition(b"OggS")
    return bool(found) and not (len(page) > 1 and page[1] & 4)
