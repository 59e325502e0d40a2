"""The compiled renderer: a free run of one stream, block after block, in real time many times over.

The same numbers as stepping the plan sample by sample, and all of it runs so, in the loop of `loop.py`. Only where
dry is seen through a window so long that the FFT pays, PyTorch computes what does not depend on the feedback a block
at a time; not for short blocks, as an audio interface asks for, in which PyTorch takes longer to begin than the loop to
end.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from fxemu.engine.allocator import keep_freed_memory
from fxemu.engine.feedforward import evaluate, has_long_window
from fxemu.engine.lockstep.lanes import past_values
from fxemu.engine.plan import DRY
from fxemu.engine.playable import Playable
from fxemu.engine.schedule import Schedule
from fxemu.engine.simplify import on_cpu, shortened
from fxemu.engine.streaming.block import BlockRunner, Pasts

BLOCK = 16_384
# A block is short up to this many samples, or this part of what is heard of dry (measured).
SHORT, SHORT_PART = 128, 1 / 64

keep_freed_memory()


class Stream:
    """A running emulation of one mono stream: `process` any number of samples, in blocks of any size.

    Args:
        loop: what to play; its weights are read once, here.
        dry, wet: true samples (H,) that prime it, H at least `loop.warm_up`; None for silence.
    """

    def __init__(self, loop: Playable, dry: Tensor | None = None, wet: Tensor | None = None) -> None:
        needed = loop.warm_up
        dry, wet = (torch.zeros(needed) if x is None else x.detach().cpu().float() for x in (dry, wet))
        primed = min(dry.numel(), wet.numel())
        if primed < needed:
            raise ValueError(f"priming: got {dry.numel()} dry and {wet.numel()} wet samples; need {needed} of each")
        self._plan = plan = shortened(on_cpu(loop.plan()))
        self._at_once, self._in_turn = (BlockRunner(Schedule(plan, in_turn)) for in_turn in (False, True))
        self._long_window = has_long_window(plan)
        self._dry = torch.zeros(plan.reach())
        nothing = torch.empty(1, 1, 0)
        self._pasts = past_values(self._at_once.schedule, nothing, nothing)
        self.process(dry[dry.numel() - primed :], wet[wet.numel() - primed :])

    @torch.inference_mode()
    def process(self, dry: Tensor, fed: Tensor | None = None) -> Tensor:
        """dry (samples,) to wet (samples,), float32; what came before is remembered.

        Given `fed` (samples,), the predictor hears that as its own past instead of what it predicts: the truth to
        prime it, or anything else to lead it astray. ValueError unless it is as long as `dry`.
        """
        dry = torch.as_tensor(dry).detach().cpu().float()
        if fed is not None and fed.shape != dry.shape:
            raise ValueError(f"fed: got shape {tuple(fed.shape)} for dry of {tuple(dry.shape)}")
        # A long window is heard again with every block: that is worth it for as many samples.
        size = max(BLOCK, self._dry.numel())
        # One room for all of it: a block kept between what comes and goes would make memory grow around it.
        wet = torch.empty_like(dry)
        for i in range(0, dry.numel(), size):
            heard = None if fed is None else fed[i : i + size]
            wet[i : i + size] = self._block(dry[i : i + size], heard)
        return wet

    def state(self) -> dict[str, Tensor]:
        """All that is remembered, a copy: for `restore`, or for a file."""
        pasts = {str(value): self._pasts[value].clone() for value in self._at_once.schedule.tapped}
        return {"dry": self._dry.clone(), **pasts}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from where a stream of the same model was; ValueError if it was of another."""
        own = self.state()
        if {k: v.shape for k, v in own.items()} != {k: v.shape for k, v in state.items()}:
            raise ValueError(f"state: got {sorted(state)} of another model's shapes; this one has {sorted(own)}")
        self._dry = state["dry"].clone()
        self._pasts = {value: state[str(value)].clone() for value in self._at_once.schedule.tapped}

    def _block(self, dry: Tensor, fed: Tensor | None) -> Tensor:
        short = fed is None and dry.numel() <= max(SHORT, SHORT_PART * self._dry.numel())
        way = self._in_turn if short or not self._long_window else self._at_once
        pasts = self._pasts_for(way)
        seen = torch.cat((self._dry, dry))
        self._dry = seen[dry.numel() :]
        signals = evaluate(self._plan, {DRY: seen[None, None]}, way.schedule.boundary, dry.numel())
        if self._plan.last in signals:
            self._pasts = {}  # all follows from dry
            return signals[self._plan.last][0, 0, -dry.numel() :]
        room = way.room(dry.numel(), fed is not None)
        wet, self._pasts = room.run(signals, pasts, fed)
        return wet

    def _pasts_for(self, way: BlockRunner) -> Pasts:
        """What the loop looks back to; where that follows from dry alone, it may have to be had first."""
        missing = way.schedule.tapped.keys() - self._pasts.keys()
        if not missing:
            return self._pasts
        known = evaluate(self._plan, {DRY: self._dry[None, None]}, missing)
        return {**self._pasts, **{v: known[v][..., -way.schedule.tapped[v] :] for v in missing}}


def render(loop: Playable, dry: Tensor) -> Tensor:
    """A free run from silence over a whole song: dry (samples,) to wet (samples,)."""
    return Stream(loop).process(dry)


def render_many(
    loop: Playable,
    songs: list[Tensor],
    fed: list[Tensor] | None = None,
    after: list[tuple[Tensor, Tensor]] | None = None,
) -> list[Tensor]:
    """Free runs over several songs, as many at once as PyTorch uses threads: the loop holds no lock.

    Given `fed`, a song for each, the predictor hears those as its own past, as in `Stream.process`. They begin from
    silence or, given `after`, (dry, wet) for each, from what such a past has left.
    """
    threads, none = torch.get_num_threads(), [None] * len(songs)
    runs = list(zip(songs, fed or none, after or none, strict=True))

    def run(dry: Tensor, fed: Tensor | None, past: tuple[Tensor, Tensor] | None) -> Tensor:
        stream = Stream(loop)
        if past is not None:
            stream.process(*past)
        return stream.process(dry, fed)

    if min(threads, len(songs)) < 2:
        return [run(*given) for given in runs]
    try:
        # Each with a thread of PyTorch's to itself: with all of them each, they are in each other's way.
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(lambda given: run(*given), runs))
    finally:
        torch.set_num_threads(threads)
