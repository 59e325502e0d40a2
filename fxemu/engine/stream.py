"""The compiled renderer: a free run of one stream, block after block, in real time many times over.

From the plan, with the same numbers as `fxemu.rollout.free_run`. What does not hear the feedback is convolved a
block at a time by PyTorch; the rest runs sample by sample in the loop of `machine.py`.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from fxemu.engine import machine
from fxemu.engine.batch import boundary, drive, evaluate
from fxemu.engine.kernels import OUT
from fxemu.engine.lanes import past_values
from fxemu.engine.layout import Layout, Signal
from fxemu.engine.shorten import shortened
from fxemu.freed_memory import keep_freed_memory
from fxemu.plan import DRY, Layer, Lookup, Mix, Plan, Product, Step, Term

BLOCK = 16_384
# Sizes of blocks whose layout is kept, so that a short block costs no more than its samples.
KEPT = 4

Room = tuple[Layout, Tensor, list[int], int, machine.Loop]

keep_freed_memory()


class Playable(Protocol):
    """What can be played: a `ClosedLoop`, or a model of another runtime (`fxemu.foreign`)."""

    @property
    def warm_up(self) -> int:
        """Samples of history before the first that counts."""

    def plan(self) -> Plan:
        """One step, from dry x[t] and wet y[t-1] to wet y[t]."""


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
        self._plan = shortened(on_cpu(loop.plan()))
        self._reach = self._plan.reach()
        self._boundary = boundary(self._plan)
        self._rooms: OrderedDict[tuple[int, bool], Room] = OrderedDict()
        self._dry = torch.zeros(self._reach)
        nothing = torch.empty(1, 1, 0)
        self._pasts = past_values(self._plan, nothing, nothing)
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
        size = max(BLOCK, self._reach)
        places = range(0, dry.numel(), size)
        fed_blocks = [None if fed is None else fed[i : i + size] for i in places]
        blocks = [self._block(dry[i : i + size], f) for i, f in zip(places, fed_blocks, strict=True)]
        return torch.cat(blocks) if blocks else dry

    def state(self) -> dict[str, Tensor]:
        """All that is remembered, a copy: for `restore`, or for a file."""
        return {"dry": self._dry.clone(), **{str(value): past.clone() for value, past in self._pasts.items()}}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from where a stream of the same model was; ValueError if it was of another."""
        own = self.state()
        if {k: v.shape for k, v in own.items()} != {k: v.shape for k, v in state.items()}:
            raise ValueError(f"state: got {sorted(state)} of another model's shapes; this one has {sorted(own)}")
        self._dry = state["dry"].clone()
        self._pasts = {value: state[str(value)].clone() for value in self._pasts}

    def _block(self, dry: Tensor, fed: Tensor | None) -> Tensor:
        seen = torch.cat((self._dry, dry))
        self._dry = seen[seen.numel() - self._reach :]
        signals = evaluate(self._plan, {DRY: seen[None, None]}, self._boundary, dry.numel())
        if self._plan.last in signals:
            return signals[self._plan.last][0, 0, -dry.numel() :]
        layout, memory, driven, made, loop = self._room(dry.numel(), fed is not None)
        self._fill(layout, memory, signals)
        self._drive(layout, memory, signals, driven)
        if fed is not None:
            heard = layout.signals[self._plan.last]
            memory[heard.row(0) : heard.end] = fed
        loop(memory.numpy(), dry.numel())
        self._pasts = {v: self._tail(memory, layout.signals[v]) for v in layout.tapped()}
        return memory[made : made + dry.numel()].clone()

    def _room(self, samples: int, fed: bool) -> Room:
        """The layout of a block, its memory, the layers driven anew in each, where the loop puts what it makes, and the
        loop; kept for the next."""
        size = samples, fed
        if size not in self._rooms:
            layout = Layout(self._plan, samples)
            memory, ops = torch.empty(layout.size + samples * fed), layout.ops.copy()
            if fed:
                # A place of its own, so that what is heard stays as it was put in.
                ops[-1, OUT] = layout.size
            # What is driven by its bias alone is the same in every block.
            self._drive(layout, memory, {DRY: memory}, [v for v in layout.drives if not layout.driven(v)])
            driven = [v for v in layout.drives if layout.driven(v)]
            self._rooms[size] = layout, memory, driven, int(ops[-1, OUT]), machine.loop(layout, ops)
        self._rooms.move_to_end(size)
        while len(self._rooms) > KEPT:
            self._rooms.popitem(last=False)
        return self._rooms[size]

    def _fill(self, layout: Layout, memory: Tensor, signals: dict[int, Tensor]) -> None:
        """Put the past of the loop, and what it reads from outside sample after sample, into memory."""
        for value, past in self._pasts.items():
            _put(memory, layout.signals[value].start, past)
        for value in layout.outside:
            _put(memory, layout.signals[value].start, signals[value][..., -layout.samples :])

    def _drive(self, layout: Layout, memory: Tensor, signals: dict[int, Tensor], layers: list[int]) -> None:
        """Put what some layers get from outside into memory."""
        for value in layers:
            _put(memory, layout.drives[value].row(0), drive(self._plan, value, signals, layout.samples))

    def _tail(self, memory: Tensor, signal: Signal) -> Tensor:
        """The last samples of a value, the past of the next block: (1, W, rows)."""
        last = memory[signal.end - signal.past * signal.width : signal.end]
        return last.reshape(1, signal.past, signal.width).mT.clone()


def _put(memory: Tensor, start: int, x: Tensor) -> None:
    """Write x (1, W, T) as T rows of W."""
    # The other way round PyTorch may take its path for large matrices, which is slow for a few columns.
    memory[start : start + x.numel()].view(x.shape[-1], x.shape[1]).T.copy_(x[0])


def render(loop: Playable, dry: Tensor) -> Tensor:
    """A free run from silence over a whole song: dry (samples,) to wet (samples,)."""
    return Stream(loop).process(dry)


def render_many(loop: Playable, songs: list[Tensor]) -> list[Tensor]:
    """Free runs from silence over several songs at once, one a core: the compiled loop holds no lock."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda dry: render(loop, dry), songs))


def on_cpu(plan: Plan) -> Plan:
    """A copy of the plan whose weights are plain float32 tensors on the CPU."""
    return Plan([_frozen(step) for step in plan.steps], dict(plan.sources), plan.params)


def _frozen(step: Step) -> Step:
    if isinstance(step, Layer):
        terms = tuple(Term(t.source, _copy(t.weight), t.dilation) for t in step.terms)
        return replace(step, terms=terms, bias=None if step.bias is None else _copy(step.bias))
    if isinstance(step, Mix):
        scales = [p.scale if isinstance(p.scale, float) else _copy(p.scale) for p in step.products]
        return replace(step, products=tuple(Product(p.factors, s) for p, s in zip(step.products, scales, strict=True)))
    return replace(step, table=_copy(step.table)) if isinstance(step, Lookup) else step


def _copy(weight: Tensor) -> Tensor:
    return weight.detach().cpu().float().clone()
