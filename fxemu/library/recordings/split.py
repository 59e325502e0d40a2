"""Split recordings into training, validation and test."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from statistics import median_low

from torch import cat

from fxemu.library.pair import Pair
from fxemu.library.recordings.pairs import Stretches
from fxemu.library.recordings.silence import sounding
from fxemu.library.songs import PARTS, LibraryError, hash_order, split_songs

MOST_SPLIT_IN_TIME = 5  # recordings; of more, whole ones are held out
LEAST_VALIDATED_WHOLE = 4  # recordings, one of which is to validate on: the end of one trained on says little of others


def split_recordings(
    recordings: Stretches, shortest: int, val_share: float, test_share: float, seed: int
) -> dict[str, list[Pair]]:
    """Split recordings into train, val and test: six or more by name, fewer each in time, `shortest` samples apart.

    Of four or five, unless they are settings of knobs, a whole one is validated on, no shorter than most.
    Stretches with fewer than `shortest` samples are left out, and so is silence from val and test; recordings of which
    nothing is left are named on standard error.

    Raises:
        LibraryError: if all recordings are too short, or all of few too short to split.
    """
    recordings = _long_enough(recordings, shortest)
    if len(recordings) > MOST_SPLIT_IN_TIME:
        # A setting of knobs that is held out is one less to interpolate between.
        names = split_songs(recordings, val_share, test_share, seed, few=1 if _turned(recordings) else 3)
        parts = {part: [pair for name in names[part] for pair in recordings[name]] for part in PARTS}
    else:
        parts = _all_in_time(recordings, shortest, val_share, test_share, _validated_whole(recordings, seed))
    for part in ("val", "test"):
        parts[part] = [pair for pair in parts[part] if sounding(pair).any() and pair.wet.any()]
        if not parts[part]:
            raise LibraryError(f"all audio that is held out for {part} is silent; record more")
    return {part: _numbered(pairs) for part, pairs in parts.items()}


def _long_enough(recordings: Stretches, shortest: int) -> Stretches:
    """The stretches of `shortest` samples or more; LibraryError if there are none."""
    kept = {name: [pair for pair in pairs if pair.dry.numel() >= shortest] for name, pairs in recordings.items()}
    short = [name for name, pairs in kept.items() if not pairs]
    longest = {name: max((pair.dry.numel() for pair in recordings[name]), default=0) for name in short}
    listing = "\n".join(f"{name}: {longest[name]} usable samples, of {shortest} that are needed" for name in short)
    if len(short) == len(recordings):
        raise LibraryError(f"{listing}; record for longer")
    if short:
        print(f"left out: {listing}", file=sys.stderr)
    return {name: pairs for name, pairs in kept.items() if pairs}


def _turned(recordings: Stretches) -> bool:
    """Whether they are settings of knobs."""
    return any(pair.knobs is not None for pairs in recordings.values() for pair in pairs)


def _validated_whole(recordings: Stretches, seed: int) -> str | None:
    """The recording to validate on, of those no shorter than most; None where all are split in three."""
    lengths = {
        name: sum(int(sounding(pair).sum()) for pair in pairs if pair.wet.any()) for name, pairs in recordings.items()
    }
    if len(lengths) < LEAST_VALIDATED_WHOLE or _turned(recordings):
        return None
    return hash_order([name for name, length in lengths.items() if length >= median_low(lengths.values())], seed)[0]


def _all_in_time(
    recordings: Stretches, gap: int, val_share: float, test_share: float, whole: str | None
) -> dict[str, list[Pair]]:
    """Parts of all recordings but `whole`, which is validated on; those too short are trained on, unless all are."""
    parts: dict[str, list[Pair]] = {part: [] for part in PARTS}
    shares = {"val": val_share, "test": test_share} if whole is None else {"test": test_share}
    for name, pairs in recordings.items():
        alone = [("val" if name == whole else "train", pair) for pair in pairs]
        for part, piece in (name != whole and _split_in_time(name, pairs, gap, shares)) or alone:
            parts[part].append(piece)
    if not parts["test"]:
        name, pairs = max(recordings.items(), key=lambda item: sum(pair.dry.numel() for pair in item[1]))
        raise LibraryError(
            f"{name}: {sum(pair.dry.numel() for pair in pairs)} usable samples are too few to split in time into "
            f"train, val and test of {gap} or more each; record for longer"
        )
    return parts


def _split_in_time(name: str, pairs: list[Pair], gap: int, held_out: Mapping[str, float]) -> list[tuple[str, Pair]]:
    """Train and what is held out as stretches of one recording, `gap` apart; shares are of the samples that sound.

    None at all if a part would be shorter than `gap`.
    """
    sounds = cat([sounding(pair) for pair in pairs]).nonzero()[:, 0]
    total = sounds.numel() - len(held_out) * gap
    sizes = {part: int(share * total) for part, share in held_out.items()}
    sizes = {"train": total - sum(sizes.values()), **sizes}
    if min(sizes.values()) < gap:
        return []
    firsts = [*accumulate([size + gap for size in sizes.values()], initial=0)][:-1]
    edges = [(int(sounds[at]), int(sounds[at + size - 1]) + 1) for at, size in zip(firsts, sizes.values(), strict=True)]
    # Silence at the ends goes with what is there.
    edges[0], edges[-1] = (0, edges[0][1]), (edges[-1][0], _samples(pairs))
    pieces = []
    for part, (first, end) in zip(sizes, edges, strict=True):
        start = 0
        for pair in pairs:
            inside = slice(max(0, first - start), max(0, end - start))
            piece = replace(pair, name=f"{Path(name).stem}-{part}", dry=pair.dry[inside], wet=pair.wet[inside])
            if piece.dry.numel() >= gap:
                pieces.append((part, piece))
            start += pair.dry.numel()
    return pieces if {part for part, _ in pieces} == set(sizes) else []


def _samples(pairs: list[Pair]) -> int:
    return sum(pair.dry.numel() for pair in pairs)


def _numbered(pairs: list[Pair]) -> list[Pair]:
    """The pairs, those after the first of a name numbered."""
    seen: dict[str, int] = {}
    result = []
    for pair in pairs:
        seen[pair.name] = number = seen.get(pair.name, 0) + 1
        name = pair.name if number == 1 else f"{Path(pair.name).stem}-{number}{Path(pair.name).suffix}"
        result.append(replace(pair, name=name))
    return result
