"""Selection score of checkpoints: free runs over the validation songs, from silence and from wrong pasts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fxemu.engine.contraction import contraction_bound
from fxemu.engine.streaming.stream import render_many
from fxemu.evaluation import metrics
from fxemu.evaluation.measurements.contraction import wrong_pasts
from fxemu.library.pair import Pair
from fxemu.library.songs import file_stem
from fxemu.models.closed_loop import ClosedLoop

# Samples after a click, and of silence: half for it to be forgotten, half to see whether it is.
SETTLING = 32_768
SILENCE, CLICK = torch.zeros(SETTLING), torch.eye(1, SETTLING)[0]
# What is passed over there, as power beside that of the songs: an echo that is not quite met.
ECHO = 1e-3
# The songs are cut into pieces of so many samples (6 s at 44.1 kHz), each begun from a wrong past of SETTLING samples;
# the first of four parts of a piece is for the past to be forgotten.
PIECE = 262_144
# Songs that have a score of their own.
SHOWN_SONGS = 8


@dataclass(frozen=True)
class WrongHistoryPiece:
    """A piece of a validation song that begins from a wrong past.

    Args:
        song: its number.
        part: where the piece is in it.
        dry: (samples,) of the piece.
        past: dry and wet before it.
        own: error energy of the effect itself after that past, in the part of the piece that counts.
    """

    song: int
    part: slice
    dry: Tensor
    past: tuple[Tensor, Tensor]
    own: float


def wrong_history_pieces(
    songs: list[Pair], limit: float, effect: Callable[[Sequence[Tensor], Sequence[Tensor | None]], list[Tensor]] | None
) -> list[WrongHistoryPiece]:
    """Cut all of the validation songs into pieces, each with another wrong past than the one before.

    Args:
        songs: to validate on.
        limit: of what is fed back.
        effect: processes several dry signals, given the positions of its knobs for each; None for recordings.
    """
    cut = [
        (number, slice(start, min(start + PIECE, song.dry.numel())))
        for number, song in enumerate(songs)
        for start in range(0, song.dry.numel(), PIECE)
    ]
    pasts = [[p for p in wrong_pasts(song.start(SETTLING), limit).values() if p.name != "silence"] for song in songs]
    chosen = [pasts[(song + 1) % len(songs)][i % len(pasts[0])] for i, (song, _) in enumerate(cut)]
    driven = [torch.cat((past.dry, songs[song].dry[part])) for (song, part), past in zip(cut, chosen, strict=True)]
    own = [0.0] * len(cut)
    if effect is not None:
        wets = [
            wet[past.dry.numel() :]
            for wet, past in zip(effect(driven, [songs[song].knobs for song, _ in cut]), chosen, strict=True)
        ]
        own = [_counted_energy(wet - songs[song].wet[part]) for wet, (song, part) in zip(wets, cut, strict=True)]
    return [
        WrongHistoryPiece(song, part, songs[song].dry[part], (past.dry, past.wet), energy)
        for (song, part), past, energy in zip(cut, chosen, own, strict=True)
    ]


def scores(
    loop: ClosedLoop, songs: list[Pair], settled: list[Tensor], wrong: Sequence[WrongHistoryPiece] = ()
) -> dict[str, float]:
    """Scores by the name they are logged under, over all of the songs; `val/esr` is the one that selects checkpoints.

    `val/esr` is no plain ESR: to that of the free run from silence (`val/esr_from_silence`) it adds two penalties, as
    power beside that of the songs and beyond the effect's own: how far runs from wrong pasts (`wrong`, see
    `wrong_history_pieces`) stay apart from those from silence, and what is left in silence, or long after a click
    (`settled`: the effect's). Music may hide for minutes that a net has more than one state to sit in.
    """
    loops = [loop.at(song.knobs) for song in songs]
    still = loop.at(None)
    *predictions, rest, clicked = render_many([*loops, still, still], [*(song.dry for song in songs), SILENCE, CLICK])
    prediction, target = torch.cat(predictions), torch.cat([song.wet for song in songs])
    esr, forced = metrics.esr(prediction, target), teacher_forced_esr(loop, [song.middle(PIECE) for song in songs])
    songs_db = [metrics.esr_db(metrics.esr(p, song.wet)) for p, song in zip(predictions, songs, strict=True)]
    named = [f"val_songs_db/{file_stem(song.name)}" for song in songs[:SHOWN_SONGS]]
    left, own = (torch.stack(runs)[:, SETTLING // 2 :].square().mean(-1) for runs in ([rest, clicked], settled))
    beyond = (left - own).max() / (target.square().mean() + metrics.EPSILON)
    added = float((beyond - ECHO).clamp_min(0)) + _apart(loop, songs, predictions, wrong)
    return {
        "val/esr": esr + added,
        "val/esr_from_silence": esr,
        "val/inverted_esr": metrics.inverted_esr(prediction, target) + added,
        "val/nmae": metrics.nmae(prediction, target),
        "val/samples_well": float(min(metrics.samples_before_divergence(p, float(loop.limit)) for p in predictions)),
        "val/teacher_forced_esr": forced,
        "val_db/free_run": metrics.esr_db(esr),
        "val_db/teacher_forced": metrics.esr_db(forced),
        "val_db/worst_song": max(songs_db),
        **dict(zip(named, songs_db, strict=False)),
    }


def _apart(loop: ClosedLoop, songs: list[Pair], predictions: list[Tensor], wrong: Sequence[WrongHistoryPiece]) -> float:
    """Energy between the runs from wrong pasts and those from silence, beyond the effect's own, over the songs'.

    None of a model with an oscillator: at which phase it begins is for its past to say.
    """
    if loop.periodic:
        return 0.0
    bound = contraction_bound(loop.plan())
    if bound is not None and bound.samples() <= PIECE // 4:
        return 0.0  # it is certain to have forgotten its past where it begins to count
    loops = [loop.at(songs[piece.song].knobs) for piece in wrong]
    outputs = render_many(loops, [piece.dry for piece in wrong], after=[piece.past for piece in wrong])
    pairs = list(zip(outputs, wrong, strict=True))
    apart = sum(_counted_energy(output - predictions[piece.song][piece.part]) for output, piece in pairs)
    total = sum(_counted_energy(songs[piece.song].wet[piece.part]) for piece in wrong)
    return max(0.0, apart - sum(piece.own for piece in wrong)) / (total + metrics.EPSILON)


def _counted_energy(x: Tensor) -> float:
    """Energy of a piece (samples,) but for its first quarter."""
    return float(x[x.numel() // 4 :].double().square().sum())


def teacher_forced_esr(loop: ClosedLoop, songs: list[Pair]) -> float:
    """ESR with the true past at every step: what a free run is not, logged to show the gap."""
    wet = [song.wet for song in songs]
    loops = [loop.at(song.knobs) for song in songs]
    predictions = render_many(loops, [song.dry for song in songs], fed=wet)
    return metrics.esr(*metrics.over_all(zip(predictions, wet, strict=True)))
