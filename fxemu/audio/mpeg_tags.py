"""Tags around and between the frames of MPEG audio, which has no container."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import BinaryIO

# Files in which frames lie as they are, and how the tags begin that may lie between or after them.
FRAMED = ("aac", "mp3")
TAG_STARTS = (b"LYRICSBEGIN", b"APETAGEX", b"TAG", b"ID3", b"3DI")
MOST_PADDING_BYTES = 65_536
# Of lyrics whose beginning has to be looked for.
LONGEST_LYRICS = 5100
APE_ENDS = 32


class Frames:
    """A binary file without the tags at its ends, to be read in its place."""

    def __init__(self, file: BinaryIO, start: int, end: int) -> None:
        self.file, self.start, self.end = file, start, end
        file.seek(start)

    def read(self, size: int = -1) -> bytes:
        left = max(0, self.end - self.file.tell())
        return self.file.read(left if size < 0 else min(size, left))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        origin = {os.SEEK_SET: self.start, os.SEEK_CUR: self.file.tell(), os.SEEK_END: self.end}[whence]
        return self.file.seek(max(self.start, origin + offset)) - self.start

    def tell(self) -> int:
        return self.file.tell() - self.start


def frames(file: BinaryIO) -> tuple[int, int]:
    """First byte and end of a file's MPEG frames: between APE tags (FFmpeg reads ID3v2 itself) and the tags at its end.

    Known at the end are ID3v1 and its extension, Lyrics3 of both versions, APE of both versions, and ID3v2 with a
    footer, in any order and number.
    """
    start, end = 0, file.seek(0, os.SEEK_END)
    while size := _ape_size(_at(file, start, APE_ENDS), header=True):
        start += size + APE_ENDS
    while size := next((size for tag in END_TAGS if (size := tag(file, end))), 0):
        end -= size
        if end <= start:
            # Nothing but tags, or none at all.
            return 0, file.seek(0, os.SEEK_END)
    return start, end


def header_covers(file: BinaryIO, start: int, end: int) -> bool:
    """Whether an MP3 has a header for the whole of it (Xing's) that covers all up to `end`, as of one song alone."""
    head = _at(file, start, 10)
    if head.startswith(b"ID3"):
        start += 10 + _syncsafe(head[6:])
    found = re.search(rb"(Xing|Info)\0\0\0(.)....(....)", _at(file, start, 512), re.DOTALL)
    # Bits of what it states: frames, bytes.
    if not found or found[2][0] & 3 != 3:
        return False
    return end - start < 1.02 * int.from_bytes(found[3], "big") + 4096


def _syncsafe(digits: bytes) -> int:
    """A number of ID3v2, of four bytes with seven bits each."""
    return sum(byte << shift for byte, shift in zip(digits, (21, 14, 7, 0), strict=True))


def _at(file: BinaryIO, place: int, size: int) -> bytes:
    file.seek(max(0, place))
    return file.read(size)


def _ape_size(ends: bytes, header: bool) -> int:
    """Bytes of an APE tag without its header, by its header or footer; 0 if it is none."""
    if len(ends) < APE_ENDS or not ends.startswith(b"APETAGEX"):
        return 0
    version, size, _, flags = (int.from_bytes(ends[i : i + 4], "little") for i in (8, 12, 16, 20))
    return size if version in (1000, 2000) and bool(flags >> 29 & 1) == header else 0


def _ape(file: BinaryIO, end: int) -> int:
    footer = _at(file, end - APE_ENDS, APE_ENDS)
    size = _ape_size(footer, header=False)
    # Not by the flag for it, which some programs get wrong.
    return size + (APE_ENDS if size and _ape_size(_at(file, end - size - APE_ENDS, APE_ENDS), header=True) else 0)


def _id3v1(file: BinaryIO, end: int) -> int:
    if _at(file, end - 128, 3) != b"TAG":
        return 0
    return 128 + (227 if _at(file, end - 355, 4) == b"TAG+" else 0)


def _lyrics3(file: BinaryIO, end: int) -> int:
    tail = _at(file, end - 15, 15)
    sized = re.fullmatch(rb"(\d{6})LYRICS200", tail)
    if sized and _at(file, end - 15 - int(sized[1]), 11) == b"LYRICSBEGIN":
        return int(sized[1]) + 15
    if not (sized or tail.endswith(b"LYRICSEND")):
        return 0
    start = max(0, end - LONGEST_LYRICS - 20)
    text = _at(file, start, end - start)
    place = text.rfind(b"LYRICSBEGIN")
    return len(text) - place if place >= 0 else 0


def _id3v2(file: BinaryIO, end: int) -> int:
    footer = _at(file, end - 10, 10)
    if not footer.startswith(b"3DI") or max(footer[6:]) > 127:
        return 0
    size = 20 + _syncsafe(footer[6:])
    return size if _at(file, end - size, 3) == b"ID3" else 0


END_TAGS: tuple[Callable[[BinaryIO, int], int], ...] = (_id3v1, _ape, _lyrics3, _id3v2)


class BesideFrames:
    """Bytes between or after the frames of MPEG audio, which has no container: tags, and a little of anything."""

    def __init__(self) -> None:
        self.tag, self.unknown_bytes = False, 0

    def holds(self, packet: bytes, container: str) -> bool:
        """Whether a packet that cannot be decoded is no frame."""
        if container not in FRAMED or (not self.tag and packet[:1] == b"\xff" and packet[1:2] >= b"\xe0"):
            return False
        self.tag |= packet.startswith(TAG_STARTS)
        self.unknown_bytes += 0 if self.tag else len(packet)
        return True

    def costs_audio(self) -> bool:
        """Whether it took the place of frames, as other frames follow."""
        lost, self.tag, self.unknown_bytes = self.unknown_bytes > 0, False, 0
        return lost

    def samples_may_be_lost(self) -> bool:
        """Whether it is too much for the end of a file, as where a download ended."""
        return self.unknown_bytes > MOST_PADDING_BYTES
