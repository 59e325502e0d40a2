"""Times the compiled renderer against the same loops in C, where there is a compiler (3 minutes)."""

from __future__ import annotations

import argparse
import shutil
import time

import torch

from fxemu.engine.streaming.stream import Stream
from fxemu.models import GRU, LRU, LSTM, MLP, ConvNet, Linear, Predictor, WaveNet
from fxemu.models.closed_loop import ClosedLoop
from fxemu.representations import Binary, MuLaw, OneHot, OneHotResidual, Raw
from tables.c_loops import build
from tables.common import SAMPLE_RATE, fastest, one_thread

PASSES = 3


def families() -> dict[str, Predictor]:
    """What is rendered: the default MLP, and the others of like cost; a WaveNet of one array, as the C has it."""
    torch.manual_seed(0)
    dilations = [1, 2, 4, 8, 16, 32, 64]
    return {
        "mlp": MLP(1, 1, feedback_window=32),
        "lstm": LSTM(1, 1),
        "lstm, no feedback": LSTM(1, 1, feedback=False),
        "gru": GRU(1, 1),
        "gru, no feedback": GRU(1, 1, feedback=False),
        "wavenet": WaveNet(1, 1, width=8, arrays=1, dilations=dilations),
        "wavenet, no feedback": WaveNet(1, 1, width=8, arrays=1, dilations=dilations, feedback=False),
        "convnet": ConvNet(1, 1),
        "convnet, no feedback": ConvNet(1, 1, feedback=False),
        "lru": LRU(1, 1),
        "linear": Linear(1, 1),
    }


def run(options: argparse.Namespace) -> None:
    """Print the rate of each family in our renderer and in plain C with the same weights."""
    one_thread()
    dry = torch.rand(10 * SAMPLE_RATE) - 0.5
    seconds = dry.numel() / SAMPLE_RATE
    compiler = shutil.which("cc")
    print("| family | multiply-adds a sample | fxemu | C | fxemu over C |\n|---|---|---|---|---|")
    errors = []
    for name, model in families().items():
        loop = ClosedLoop(model, Raw(), Raw())
        loop.limit.fill_(100.0)
        # Made outside of what is timed, as the C is.
        stream = Stream(loop)
        stream.process(dry)
        line = f"| {name} | {loop.plan().multiply_adds()} |"
        if not compiler:
            print(line, f"{seconds / fastest(lambda stream=stream: stream.process(dry))[0]:.0f}x | no compiler | |")
            continue
        run = build(model)
        passes = [
            fastest(lambda stream=stream: stream.process(dry), lambda run=run: run(dry), clock=time.thread_time)
            for _ in range(PASSES)
        ]
        ours, theirs = map(min, zip(*passes, strict=True))
        worst = min(c / own for own, c in passes)
        # Of the second half: the C begins with states of zero, a stream as after silence.
        errors.append(float((run(dry) - Stream(loop).process(dry))[dry.numel() // 2 :].abs().max()))
        print(line, f"{seconds / ours:.0f}x | {seconds / theirs:.0f}x | {worst:.2f} |")
    print(f"the worst of {PASSES} passes; largest difference {max(errors, default=0.0):.0e}")
    _representations(dry)


def _representations(dry: torch.Tensor) -> None:
    """The default MLP between each representation."""
    seconds = dry.numel() / SAMPLE_RATE
    for kind in (Raw, MuLaw, Binary, OneHot, OneHotResidual):
        encoder, decoder = kind(), kind()
        model = MLP(encoder.channels, decoder.params, feedback_window=32, embedding=kind.embedding_units)
        loop = ClosedLoop(model, encoder, decoder)
        Stream(loop).process(dry[:20_000])
        (ours,) = fastest(lambda loop=loop: Stream(loop).process(dry))
        print(f"{kind.__name__}: {seconds / ours:.0f}x real time")
