"""The compiled renderer: a free run of one stream, block after block, in real time many times over.

From the plan, with the same numbers as `fxemu.rollout.free_run`. What does not hear the feedback is convolved a
block at a time by PyTorch; the rest runs sample by sample in the compiled loop of `kernels.py`.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from fxemu.engine import kernels
from fxemu.engine.batch import boundary, drive, evaluate, pasts
from fxemu.engine.lanes import remembered
from fxemu.engine.layout import Layout, Signal
from fxemu.plan import DRY, Layer, Lookup, Mix, Plan, Product, Step, Term
from fxemu.rollout import ClosedLoop

BLOCK = 8192


class Stream:
    """A running emulation of one mono stream: `process` any number of samples, in blocks of any size.

    Args:
        loop: a trained predictor with its representations; its weights are read once, here.
        dry, wet: true samples (H,) that prime it, H at least `loop.warm_up`; None for silence.
    """

    def __init__(self, loop: ClosedLoop, dry: Tensor | None = None, wet: Tensor | None = None) -> None:
        needed = max(1, loop.warm_up)
        dry, wet = (torch.zeros(needed) if x is None else x.detach().cpu().float() for x in (dry, wet))
        if min(dry.numel(), wet.numel()) < needed:
            raise ValueError(f"priming: got {dry.numel()} dry and {wet.numel()} wet samples; need {needed} of each")
        self._plan, self._warm_up = on_cpu(loop.plan()), loop.warm_up
        self._boundary = boundary(self._plan)
        self._dry = dry[dry.numel() - self._warm_up :]
        known = remembered if self._plan.hidden_states() else pasts
        with torch.inference_mode():
            self._pasts = known(self._plan, dry[None, None], wet[None, None])

    @torch.inference_mode()
    def process(self, dry: Tensor) -> Tensor:
        """dry (samples,) to wet (samples,), float32; what came before is remembered."""
        dry = dry.detach().cpu().float()
        blocks = [self._block(dry[i : i + BLOCK]) for i in range(0, dry.numel(), BLOCK)]
        return torch.cat(blocks) if blocks else dry

    def _block(self, dry: Tensor) -> Tensor:
        seen = torch.cat((self._dry, dry))
        self._dry = seen[seen.numel() - self._warm_up :]
        signals = evaluate(self._plan, {DRY: seen[None, None]}, self._boundary)
        if self._plan.last in signals:
            return signals[self._plan.last][0, 0, -dry.numel() :]
        layout = Layout(self._plan, dry.numel())
        memory = torch.empty(layout.size)
        self._fill(layout, memory, signals)
        steps, tables = np.uint64(dry.numel()), (layout.ops, layout.parameters, layout.items)
        kernels.forward(steps, kernels.ONE, memory.numpy(), layout.weights, *tables)
        self._pasts = {v: self._tail(memory, layout.signals[v]) for v in layout.tapped()}
        heard = layout.signals[self._plan.last]
        return memory[heard.row(0) : heard.end].clone()

    def _fill(self, layout: Layout, memory: Tensor, signals: dict[int, Tensor]) -> None:
        """Put the past of the loop, and what it hears from outside, into memory."""
        for value, past in self._pasts.items():
            _put(memory, layout.signals[value].start, past)
        for value, place in layout.drives.items():
            _put(memory, place.row(0), drive(self._plan, value, signals, layout.samples))
        for value in layout.outside:
            _put(memory, layout.signals[value].start, signals[value][..., -layout.samples :])

    def _tail(self, memory: Tensor, signal: Signal) -> Tensor:
        """The last samples of a value, the past of the next block: (1, W, rows)."""
        last = memory[signal.end - signal.past * signal.width : signal.end]
        return last.reshape(1, signal.past, signal.width).mT.clone()


def _put(memory: Tensor, start: int, x: Tensor) -> None:
    """Write x (1, W, T) as T rows of W."""
    memory[start : start + x.numel()].view(x.shape[-1], x.shape[1]).copy_(x[0].T)


def render(loop: ClosedLoop, dry: Tensor) -> Tensor:
    """A free run from silence over a whole song: dry (samples,) to wet (samples,)."""
    return Stream(loop).process(dry)


def render_many(loop: ClosedLoop, songs: list[Tensor]) -> list[Tensor]:
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
