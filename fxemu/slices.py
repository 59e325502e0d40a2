"""Slices, the training examples: which samples they consist of, and where they may begin in a song.

A slice for time t is dry x[t-m+1 .. t] and wet y[t-m+1 .. t-1], 2m - 1 features, and the target y[t]. Its first
sample is t - m + 1 and its last is t. A segment is a run of K consecutive slices: the K + m - 1 samples that begin
at the first slice's first sample. It is kept as audio, not as windows.

Shapes: N slices or segments, m context window, K segment length.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from torch import Tensor

from fxemu.effects import Effect
from fxemu.effects.base import checked_wet, from_array
from fxemu.library.songs import LibraryError, Skipped, choose, list_audio_files, read_songs

Array = NDArray[np.float32]


def segment_samples(context_window: int, length: int = 1) -> int:
    """Number of samples that a segment of `length` slices spans."""
    return context_window - 1 + length


def segment_starts(samples: int, context_window: int, length: int = 1) -> int:
    """Number of segments of `length` slices in a song of `samples`; they begin at 0, 1, and so on."""
    return max(0, samples - segment_samples(context_window, length) + 1)


def gather(audio: Tensor, starts: Tensor, samples: int) -> Tensor:
    """The stretches (N, samples) of `audio` (any,) that begin at `starts` (N,)."""
    return audio.unfold(0, samples, 1)[starts]


def generate_audio_pairs(
    audio_effect: Effect | Callable[[Array], Array],
    file_count: int = 100,
    *,
    examples_dir: str = "examples",
    sample_rate: int = 44_100,
    seed: int | None = None,
) -> list[tuple[Array, Array]]:
    """Pick songs at random and process each with an effect.

    Args:
        audio_effect: one of `fxemu.effects`, or a function from dry (samples,) to wet (samples,), float32.
        file_count: songs to pick, without repetition; all of them if there are fewer.
        examples_dir: folder to search, with its subfolders.
        sample_rate: of all pairs, in Hz.
        seed: makes the choice repeatable.

    Returns:
        (dry, wet) of whole songs, float32 mono, dry with a peak of 1.0. Songs that are silent or cannot be read
        are left out and named on standard error.

    Raises:
        LibraryError: if there is no usable song.
        EffectError: if the effect returns another length, or NaN or infinity.
    """
    paths = choose(list_audio_files(examples_dir), file_count, seed)
    skipped = Skipped()
    songs = read_songs(paths, sample_rate, shortest=1, skipped=skipped, root=examples_dir)
    _report(skipped)
    if not songs:
        raise LibraryError(f"{examples_dir}: no usable song among {len(paths)} file(s)")
    return [(song.dry.numpy(), _apply(audio_effect, song.dry, sample_rate)) for song in songs]


def _apply(audio_effect: Effect | Callable[[Array], Array], dry: Tensor, sample_rate: int) -> Array:
    if isinstance(audio_effect, Effect):
        return audio_effect(dry, sample_rate).numpy()
    name = getattr(audio_effect, "__name__", type(audio_effect).__name__)
    # The function gets a copy, for it may work in place.
    wet = from_array(audio_effect(dry.numpy().copy()), f"effect {name}")
    return checked_wet(wet, dry, name).numpy()


def generate_slices_from_pair(
    audio_pairs: Sequence[tuple[Array, Array]],
    context_window: int,
    slices_per_pair: int,
    *,
    seed: int | np.random.Generator | None = None,
) -> tuple[Array, Array]:
    """Cut random slices from each pair.

    Args:
        audio_pairs: (dry, wet), each (samples,), as `generate_audio_pairs` returns them.
        context_window: m, at least 1: dry samples in a slice, the current one included.
        slices_per_pair: slices from each pair, at random with repetition.
        seed: an integer or a numpy generator makes the choice repeatable.

    Returns:
        features (N, 2m - 1) and targets (N, 1), float32, N = slices_per_pair * len(audio_pairs). Row i is
        dry[t-m+1 .. t], then wet[t-m+1 .. t-1]; its target is wet[t]. Pairs too short to hold a slice are left
        out and counted on standard error, their slices taken from the others.

    Raises:
        ValueError: for a context window or a count below 1, a dry and a wet of unlike length, or if no pair is
            long enough.
    """
    if context_window < 1 or slices_per_pair < 1:
        raise ValueError(f"context_window and slices_per_pair: got {context_window} and {slices_per_pair}; at least 1")
    for i, (dry, wet) in enumerate(audio_pairs):
        if len(dry) != len(wet):
            raise ValueError(f"pair {i}: dry has {len(dry)} samples and wet {len(wet)}; they must be equally long")
    usable = [pair for pair in audio_pairs if segment_starts(len(pair[0]), context_window)]
    if len(usable) < len(audio_pairs):
        short = len(audio_pairs) - len(usable)
        print(f"skipped {short} pair(s) shorter than the context window of {context_window}", file=sys.stderr)
    if not usable:
        raise ValueError(f"none of the {len(audio_pairs)} pair(s) holds a slice of context window {context_window}")
    generator = np.random.default_rng(seed)
    counts = np.full(len(usable), slices_per_pair)
    counts[: slices_per_pair * (len(audio_pairs) - len(usable)) % len(usable)] += 1
    counts += slices_per_pair * (len(audio_pairs) - len(usable)) // len(usable)
    parts = [_random_slices(*pair, context_window, n, generator) for pair, n in zip(usable, counts, strict=True)]
    return np.concatenate([features for features, _ in parts]), np.concatenate([targets for _, targets in parts])


def _random_slices(
    dry: Array, wet: Array, context_window: int, count: int, generator: np.random.Generator
) -> tuple[Array, Array]:
    starts = generator.integers(segment_starts(len(dry), context_window), size=count)
    dry_windows = sliding_window_view(dry, context_window)[starts]
    wet_windows = sliding_window_view(wet, context_window)[starts]
    features = np.concatenate((dry_windows, wet_windows[:, :-1]), axis=1)
    return features.astype(np.float32, copy=False), wet_windows[:, -1:].astype(np.float32)


def _report(skipped: Skipped) -> None:
    if skipped:
        print(skipped, file=sys.stderr)
