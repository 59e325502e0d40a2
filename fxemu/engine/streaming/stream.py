"""The compiled renderer: a free run of one stream, block after block, many times faster than real time.

Everything runs sample by sample, in the loop of `loop.py`. Only where a window over dry is so long that the FFT pays,
PyTorch first computes what does not depend on the feedback, a block at a time; not for short blocks, as an audio
interface asks for, in which PyTorch takes longer to begin than the loop to end.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import torch
from torch import Tensor

from fxemu.engine.allocator import keep_freed_memory
from fxemu.engine.control import ControlTrack
from fxemu.engine.feedforward import ancestors, evaluate, has_long_window
from fxemu.engine.lockstep.lanes import past_values
from fxemu.engine.partition import Partition
from fxemu.engine.plan import DRY
from fxemu.engine.playable import Playable
from fxemu.engine.simplify import on_cpu, simplify
from fxemu.engine.streaming.block import BlockRunner, PastValues

BLOCK = 16_384
# A block is short up to this many samples, or this part of the dry history that the plan reads.
SHORT, SHORT_PART = 128, 1 / 64
# Samples after which the state is checked to be finite.
CHECKED = 1024
# A stream is at rest when its state changes by no more than STILL over a block of silence; most nets are after two
# blocks. One that still changes by more than OSCILLATING after REST_SAMPLES has no rest. The length is a prime number,
# lest an oscillation look the same after it.
REST_BLOCK, STILL, OSCILLATING = 2039, 1e-6, 1e-4
REST_SAMPLES = 48 * REST_BLOCK

keep_freed_memory()


class Stream:
    """A running emulation of one mono stream: `process` any number of samples, in blocks of any size.

    It begins at rest: a model with feedback may leave silence by itself, and is played until it has. A sample that is
    NaN or infinite counts as 0. A state that is not finite, as where a model overflows, soon starts again at rest.

    Args:
        loop: what to play; its weights are read once, here.
        dry, wet: true samples (H,) that prime it, H at least `loop.warm_up`; None for both to begin at rest in silence.
        knobs: of a model that has some: their positions (K,) before the first sample, -1 to 1; None for their middle.
        simplified: False to play the plan as it is, with a state by its own values.
    """

    def __init__(
        self,
        loop: Playable,
        dry: Tensor | None = None,
        wet: Tensor | None = None,
        simplified: bool = True,
        knobs: Tensor | None = None,
    ) -> None:
        self._loop, self._primed, self._unchecked, needed = loop, False, 0, loop.warm_up
        # An oscillator would turn meanwhile, which is at its start phase when a song begins.
        at_rest = dry is None and wet is None and not loop.periodic
        dry, wet = (torch.zeros(needed) if x is None else x.detach().cpu().float() for x in (dry, wet))
        primed = min(dry.numel(), wet.numel())
        if primed < needed:
            raise ValueError(f"priming: got {dry.numel()} dry and {wet.numel()} wet samples; need {needed} of each")
        plan = on_cpu(loop.plan())
        self._plan = plan = simplify(plan) if simplified else plan
        self._at_once, self._sequential = (BlockRunner(Partition(plan, sequential)) for sequential in (False, True))
        self._long_window = has_long_window(plan)
        self._dry = torch.zeros(plan.reach())
        start = None
        if plan.knobs is not None:
            at = torch.zeros(plan.width(plan.knobs)) if knobs is None else knobs.detach().cpu().float()
            start = ControlTrack.still(plan, at, plan.reach())
        self._track = start
        self._past = past_values(self._at_once.partition, {}, torch.empty(1, 1, 0))
        self.process(dry[dry.numel() - primed :], wet[wet.numel() - primed :])
        if at_rest:
            self._come_to_rest()
        # Points are counted from here.
        self._primed, self._track = True, start

    @torch.inference_mode()
    def process(self, dry: Tensor, fed: Tensor | None = None, knobs: Tensor | None = None) -> Tensor:
        """dry (samples,) to wet (samples,), float32; what came before is remembered.

        Knobs (K, points) are decided at every 32nd sample from the start: where they will stand 32 samples later
        (`ControlTrack.later`; `points` says how many). None leaves them where they are.

        Given `fed` (samples,), that is fed back instead of the prediction: the truth to prime it, or any other
        history. ValueError unless it is as long as `dry`.
        """
        dry = _finite(torch.as_tensor(dry).detach().cpu().float())
        if fed is not None and fed.shape != dry.shape:
            raise ValueError(f"fed: got shape {tuple(fed.shape)} for dry of {tuple(dry.shape)}")
        fed = None if fed is None else _finite(fed)
        # A long window is read again with every block: that pays for as many samples.
        size = max(BLOCK, self._dry.numel())
        # Allocated once: blocks kept between short-lived tensors would fragment the memory.
        wet = torch.empty_like(dry)
        if knobs is not None and self._track is None:
            raise ValueError("knobs: this model has none")
        turned = None
        for i in range(0, dry.numel(), size):
            part = slice(i, i + size)
            if knobs is not None:
                points = self._track.begun(dry[part].numel())
                turned, knobs = knobs[:, :points], knobs[:, points:]
            wet[part] = self._block(dry[part], None if fed is None else fed[part], turned)
            self._unchecked += min(size, dry.numel() - i)
            # Of what the next block reads, and rarely: the loop itself checks nothing.
            if self._unchecked >= CHECKED and self._primed:
                self._unchecked = 0
                if not all(_is_finite(x) for x in self._past.values()):
                    self.restore({**self._silent, **self._track_state()})
        return wet

    def points(self, samples: int) -> int:
        """How many positions of the knobs `process` takes for the next so many samples."""
        return self._track.begun(samples)

    def _come_to_rest(self) -> None:
        """Play silence until the state no longer changes; leave it as it was if it oscillates or overflows."""
        forced, looping, change = self._past, self._at_once.partition.tapped, 0.0
        for _ in range(REST_SAMPLES // REST_BLOCK if looping else 0):
            before = self._past
            self.process(torch.zeros(REST_BLOCK))
            change = max(_change(before[value], self._past[value]) for value in looping)
            if change <= STILL:
                return
        # NaN is none of the numbers up to that.
        if not change <= OSCILLATING:
            self._past = forced

    @cached_property
    def _silent(self) -> dict[str, Tensor]:
        """The state at rest in silence."""
        return Stream(self._loop, knobs=None if self._track is None else self._track.points[:, -1]).state()

    def state(self) -> dict[str, Tensor]:
        """A copy of everything remembered: for `restore`, or for a file."""
        past = {str(value): self._past[value].clone() for value in self._at_once.partition.tapped}
        return {"dry": self._dry.clone(), **self._track_state(), **past}

    def _track_state(self) -> dict[str, Tensor]:
        track = self._track
        return {} if track is None else {"knobs": track.points.clone(), "phase": torch.tensor(track.phase)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue from the state of a stream of the same model; ValueError if it is of another."""
        own = self.state()
        if {k: v.shape for k, v in own.items()} != {k: v.shape for k, v in state.items()}:
            raise ValueError(f"state: got {sorted(state)} of another model's shapes; this one has {sorted(own)}")
        self._dry = state["dry"].clone()
        if "knobs" in state:
            self._track = ControlTrack(self._plan, state["knobs"].clone(), int(state["phase"]))
        self._past = {value: state[str(value)].clone() for value in self._at_once.partition.tapped}

    def _block(self, dry: Tensor, fed: Tensor | None, knobs: Tensor | None) -> Tensor:
        short = fed is None and dry.numel() <= max(SHORT, SHORT_PART * self._dry.numel())
        runner = self._sequential if short or not self._long_window else self._at_once
        past = self._past_for(runner)
        seen, points, phase = torch.cat((self._dry, dry)), self._dry[:0], 0
        if self._track is not None:
            self._track = self._track.later(dry.numel(), knobs)
            points, phase = self._track.around(dry.numel())
        early = runner.partition.boundary - runner.partition.control
        signals = self._evaluated(seen, early, dry.numel())
        if self._track is not None:
            self._track = self._track.latest(self._dry.numel())
        self._dry = seen[dry.numel() :]
        if self._plan.last in signals:
            self._past = {}  # all follows from dry
            return signals[self._plan.last][0, 0, -dry.numel() :]
        block = runner.block(dry.numel(), fed is not None)
        wet, self._past = block.run(dry.numel(), signals, past, fed, points, phase)
        return wet

    def _evaluated(self, dry: Tensor, wanted: set[int], samples: int | None = None) -> dict[int, Tensor]:
        """Values computed at once of dry (samples,), which ends with the present sample, as by `evaluate`."""
        given = {DRY: dry[None, None]}
        if self._track is not None and wanted != {DRY}:
            read = ancestors(self._plan, wanted, {DRY}) & self._plan.control_outputs
            given |= self._track.signals(read, dry.numel())
        return evaluate(self._plan, given, wanted, samples)

    def _past_for(self, runner: BlockRunner) -> PastValues:
        """The past that the loop reads; what depends on dry alone may have to be computed first."""
        missing = runner.partition.tapped.keys() - self._past.keys()
        if not missing:
            return self._past
        known = self._evaluated(self._dry, missing)
        return {**self._past, **{v: known[v][..., -runner.partition.tapped[v] :] for v in missing}}


def _finite(samples: Tensor) -> Tensor:
    """The samples, those that are NaN or infinite as 0."""
    return samples if _is_finite(samples) else samples.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)


def _is_finite(x: Tensor) -> bool:
    # By the sum: a fraction of the time that `isfinite` takes for a short block.
    return math.isfinite(x.sum().item())


def _change(before: Tensor, after: Tensor) -> float:
    """The largest change of a number, as a share of it where it is larger than 1; NaN if one is not finite."""
    return float(((after - before) / after.abs().clamp_min(1.0)).abs().max())


def render(loop: Playable, dry: Tensor) -> Tensor:
    """A free run from rest over a whole song: dry (samples,) to wet (samples,)."""
    return Stream(loop).process(dry)


def render_many(
    loop: Playable | Sequence[Playable],
    songs: list[Tensor],
    fed: list[Tensor] | None = None,
    after: list[tuple[Tensor, Tensor]] | None = None,
) -> list[Tensor]:
    """Free runs over several songs, as many at once as PyTorch uses threads: the loop holds no lock.

    The model is one for all of them, or one for each. Given `fed`, a song for each, those are fed back, as in
    `Stream.process`. They begin at rest or, given `after`, (dry, wet) for each, from the state after that history.
    """
    threads, none = torch.get_num_threads(), [None] * len(songs)
    loops = loop if isinstance(loop, Sequence) else [loop] * len(songs)
    runs = list(zip(loops, songs, fed or none, after or none, strict=True))

    def run(loop: Playable, dry: Tensor, fed: Tensor | None, past: tuple[Tensor, Tensor] | None) -> Tensor:
        # What is fed instead of the output continues silence that was fed, too.
        own = fed is None and past is None
        stream = Stream(loop) if own else Stream(loop, *torch.zeros(2, loop.warm_up))
        if past is not None:
            stream.process(*past)
        return stream.process(dry, fed)

    if min(threads, len(songs)) < 2:
        return [run(*arguments) for arguments in runs]
    try:
        # Each with one thread of PyTorch: with all of them each, they would compete.
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(lambda arguments: run(*arguments), runs))
    finally:
        torch.set_num_threads(threads)
