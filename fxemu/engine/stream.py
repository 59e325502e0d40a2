"""The compiled renderer: a free run of one stream, block after block, in real time many times over.

From the plan, with the same numbers as `fxemu.rollout.free_run`. What does not hear the feedback is convolved a
block at a time by PyTorch; the rest runs sample by sample in one function compiled by numba, over flat arrays: all
signals in one `memory`, all weights in another, and two integer tables that say which layer reads and writes what.
"""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from fxemu.activations import EXPAND_LIMIT
from fxemu.engine.batch import boundary, drive, evaluate, pasts
from fxemu.plan import DRY, FIRST, WET, Plan, Term
from fxemu.rollout import ClosedLoop

BLOCK = 8192
KINDS = ("identity", "tanh", "relu", "sigmoid", "softsign", "mulaw_compress", "mulaw_expand")
IDENTITY, TANH, RELU, SIGMOID, SOFTSIGN, COMPRESS, EXPAND = range(len(KINDS))
# Columns of the two tables. An address a + b * t is the first number of a row at sample t.
OUT, OUT_STRIDE, UNITS, DRIVE, DRIVE_STRIDE, KIND, FIRST_TERM, LAST_TERM = range(8)
SOURCE, SOURCE_STRIDE, COUNT, WEIGHT = range(4)
# Addresses are unsigned: a signed one may be negative, which to Python means "from the end", and numba would check.
ONE, TWO, THREE, FOUR = (np.uint64(n) for n in (1, 2, 3, 4))


class Stream:
    """A running emulation of one mono stream: `process` any number of samples, in blocks of any size.

    Args:
        loop: a trained predictor with its representations; its weights are read once, here.
        dry, wet: true samples (H,) that prime it, H at least `loop.warm_up`; None for silence.
    """

    def __init__(self, loop: ClosedLoop, dry: Tensor | None = None, wet: Tensor | None = None) -> None:
        silence = torch.zeros(loop.warm_up + 1)
        dry, wet = (silence if x is None else x.detach().cpu().float() for x in (dry, wet))
        needed = max(1, loop.warm_up)
        if min(dry.numel(), wet.numel()) < needed:
            raise ValueError(f"priming: got {dry.numel()} dry and {wet.numel()} wet samples; need {needed} of each")
        self._plan, self._limit, self._warm_up = _on_cpu(loop.plan()), float(loop.limit), loop.warm_up
        self._boundary, self._looping = boundary(self._plan), self._plan.looping()
        self._dry = dry[dry.numel() - self._warm_up :]
        with torch.inference_mode():
            self._pasts = pasts(self._plan, dry[None, None], wet[None, None])
        self._weights, self._offsets = _flat_weights(self._plan)

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
            return signals[self._plan.last][0, 0, -dry.numel() :].clamp(-self._limit, self._limit)
        drives = {value: drive(self._plan, value, signals, dry.numel()) for value in self._looping}
        layout = _Layout(self._plan, self._pasts, drives, self._offsets, dry.numel())
        _run(
            np.uint64(dry.numel()), layout.memory, self._weights, layout.layers, layout.parameters, layout.terms,
            np.uint64(layout.row(WET, 0)), np.float32(self._limit),
        )  # fmt: skip
        self._pasts = {value: layout.tail(value, past.shape[-1]) for value, past in self._pasts.items()}
        return torch.from_numpy(layout.wet())


def render(loop: ClosedLoop, dry: Tensor) -> Tensor:
    """A free run from silence over a whole song: dry (samples,) to wet (samples,)."""
    return Stream(loop).process(dry)


def render_many(loop: ClosedLoop, songs: list[Tensor]) -> list[Tensor]:
    """Free runs from silence over several songs at once, one a core: the compiled loop holds no lock."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda dry: render(loop, dry), songs))


def _on_cpu(plan: Plan) -> Plan:
    """A copy of the plan whose weights are plain float32 tensors on the CPU."""
    copy = Plan()
    for layer in plan.layers:
        terms = (Term(t.source, _frozen(t.weight), t.dilation) for t in layer.terms)
        bias = None if layer.bias is None else _frozen(layer.bias)
        copy.add(*terms, bias=bias, activation=layer.activation)
    return copy


def _frozen(weight: Tensor) -> Tensor:
    return weight.detach().cpu().float().clone()


def _flat_weights(plan: Plan) -> tuple[NDArray[np.float32], dict[int, int]]:
    """All weights inside the loop in one array, laid out (tap, input, unit), and where each term's begin."""
    parts, offsets, end = [], {}, 0
    for value in plan.looping():
        for term in plan.looping_terms(value):
            part = term.weight.permute(2, 1, 0).reshape(-1).numpy()
            offsets[id(term)] = end
            parts.append(part)
            end += part.size
    return np.concatenate(parts) if parts else np.zeros(0, np.float32), offsets


@dataclass
class _Signal:
    """Where a value lies in memory: its row of the block's first sample, and how far apart the rows are."""

    start: int
    stride: int


class _Layout:
    """Memory and tables for one block of `samples`."""

    def __init__(
        self,
        plan: Plan,
        past: dict[int, Tensor],
        drives: dict[int, Tensor],
        offsets: dict[int, int],
        samples: int,
    ) -> None:
        self.samples, self.signals, end = samples, {}, 0
        given: list[tuple[int, Tensor]] = []
        for value in (WET, *plan.looping()):
            width, before = plan.width(value), past[value].shape[-1] if value in past else 0
            self.signals[value] = _Signal(end + before * width, width if value in past else 0)
            if value in past:
                given.append((end, past[value]))
            # A value without a past is overwritten at every sample.
            end += (before + samples if value in past else 1) * width
        self.layers = np.zeros((len(plan.looping()), 8), np.uint64)
        self.parameters = np.zeros(len(plan.looping()), np.float32)
        terms: list[tuple[int, int, int, int]] = []
        for row, value in enumerate(plan.looping()):
            layer, signal, first = plan.layers[value - FIRST], self.signals[value], len(terms)
            for term in plan.looping_terms(value):
                terms += self._blocks(term, offsets[id(term)])
            shared = drives[value].shape[-1] == 1
            kind = KINDS.index(layer.activation.kind)
            place = signal.start, signal.stride, layer.units, end, 0 if shared else layer.units
            self.layers[row] = (*place, kind, first, len(terms))
            self.parameters[row] = layer.activation.parameter
            given.append((end, drives[value]))
            end += drives[value].numel()
        self.terms = np.array(terms, np.uint64).reshape(-1, 4)
        memory = torch.empty(end)
        for start, x in given:
            memory[start : start + x.numel()].view(x.shape[-1], x.shape[1]).copy_(x[0].T)
        self.memory = memory.numpy()

    def row(self, value: int, t: int) -> int:
        """Where the value's row of sample t of the block begins."""
        return self.signals[value].start + t * self.signals[value].stride

    def _blocks(self, term: Term, weight: int) -> list[tuple[int, int, int, int]]:
        """A term as contiguous stretches of its source: one, or one a tap where it is dilated."""
        units, width, taps = term.weight.shape
        # The present value of WET is the sample before, one row up.
        now = -1 if term.source == WET else 0
        first = self.row(term.source, now - term.span)
        if term.dilation == 1:
            return [(first, self.signals[term.source].stride, taps * width, weight)]
        step, size = self.signals[term.source].stride * term.dilation, width * units
        stride = self.signals[term.source].stride
        return [(first + tap * step, stride, width, weight + tap * size) for tap in range(taps)]

    def tail(self, value: int, rows: int) -> Tensor:
        """The last samples of a value, the past of the next block: (1, W, rows)."""
        end, width = self.row(value, self.samples), self.signals[value].stride
        return torch.from_numpy(self.memory[end - rows * width : end].reshape(1, rows, width).copy()).mT

    def wet(self) -> NDArray[np.float32]:
        """The block's wet samples (samples,)."""
        return self.memory[self.row(WET, 0) : self.row(WET, self.samples)].copy()


@njit(fastmath=True, error_model="numpy", inline="always")
def _tanh(x):
    """Lambert's continued fraction for tanh, cut after eleven terms: within 2e-6 of it in float32."""
    # Clamped to +-7.62 without a branch, so that the loop around this is vectorised.
    x = np.float32(0.5) * (abs(x + np.float32(7.62)) - abs(x - np.float32(7.62)))
    s = x * x
    p = np.float32(64324260) + s * (np.float32(675675) + s * (np.float32(2145) + s))
    p = np.float32(13749310575) + s * (np.float32(1964187225) + s * p)
    q = np.float32(413513100) + s * (np.float32(7567560) + s * (np.float32(45045) + s * np.float32(66)))
    q = np.float32(13749310575) + s * (np.float32(6547290750) + s * q)
    return x * p / q


@njit(fastmath=True, error_model="numpy", inline="always")
def _add_product(memory, z, units, x, count, weights, w):
    """memory[z + u] += sum over i < count of memory[x + i] * weights[w + i * units + u]."""
    if units == ONE:
        total = np.float32(0)
        for i in range(count):
            total += memory[x + i] * weights[w + i]
        memory[z] += total
        return
    # Four inputs at a time, so that each output is loaded and stored a quarter as often.
    for _ in range(count // FOUR):
        a, b, c, d = memory[x], memory[x + ONE], memory[x + TWO], memory[x + THREE]
        wb, wc, wd = w + units, w + TWO * units, w + THREE * units
        for u in range(units):
            memory[z + u] += a * weights[w + u] + b * weights[wb + u] + c * weights[wc + u] + d * weights[wd + u]
        x, w = x + FOUR, w + FOUR * units
    for _ in range(count % FOUR):
        a = memory[x]
        for u in range(units):
            memory[z + u] += a * weights[w + u]
        x, w = x + ONE, w + units


@njit(fastmath=True, error_model="numpy", inline="always")
def _activate(memory, z, units, kind, parameter):
    if kind == TANH:
        for u in range(units):
            memory[z + u] = _tanh(memory[z + u])
    elif kind == RELU:
        for u in range(units):
            memory[z + u] = max(memory[z + u], np.float32(0))
    elif kind == SIGMOID:
        for u in range(units):
            memory[z + u] = np.float32(0.5) + np.float32(0.5) * _tanh(np.float32(0.5) * memory[z + u])
    elif kind == SOFTSIGN:
        for u in range(units):
            memory[z + u] = memory[z + u] / (np.float32(1) + abs(memory[z + u]))
    elif kind == COMPRESS:
        for u in range(units):
            x = memory[z + u]
            memory[z + u] = math.copysign(math.log1p(parameter * abs(x)) / math.log1p(parameter), x)
    elif kind == EXPAND:
        for u in range(units):
            x = memory[z + u]
            memory[z + u] = math.copysign(math.expm1(min(abs(x), EXPAND_LIMIT) * math.log1p(parameter)) / parameter, x)


@njit(fastmath=True, error_model="numpy", cache=True, nogil=True)
def _run(samples, memory, weights, layers, parameters, terms, wet, limit):
    """Run `samples` steps in `memory`; `wet` is where the row of the block's first sample begins."""
    for t in range(samples):
        z = wet
        for i in range(layers.shape[0]):
            z = layers[i, OUT] + t * layers[i, OUT_STRIDE]
            given = layers[i, DRIVE] + t * layers[i, DRIVE_STRIDE]
            for u in range(layers[i, UNITS]):
                memory[z + u] = memory[given + u]
            for j in range(layers[i, FIRST_TERM], layers[i, LAST_TERM]):
                x = terms[j, SOURCE] + t * terms[j, SOURCE_STRIDE]
                _add_product(memory, z, layers[i, UNITS], x, terms[j, COUNT], weights, terms[j, WEIGHT])
            _activate(memory, z, layers[i, UNITS], layers[i, KIND], parameters[i])
        memory[wet + t] = min(max(memory[z], -limit), limit)
