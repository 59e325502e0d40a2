"""One stream in blocks of any size: all in turn, or, with a long window, long ones mostly at once; the same numbers."""

from itertools import cycle

import pytest
import torch
from helpers.models import MODELS, VARIANTS, free_run, make
from torch import Tensor

from fxemu.engine.feedforward import drive
from fxemu.engine.streaming import block
from fxemu.engine.streaming.stream import SHORT, Stream, render
from fxemu.models import MLP
from fxemu.models.closed_loop import ClosedLoop
from fxemu.representations import Binary, MuLaw, OneHot, Raw

SAMPLES = 560
# Short, one sample, long, twice the same short one.
SIZES = 64, 1, SHORT + 1, 17, 17, 300

each_feedback = pytest.mark.parametrize("feedback", [True, False])
each_loop = pytest.mark.parametrize(
    "name", [*MODELS, *VARIANTS, "long mlp", "mulaw", "long mulaw", "narrow mulaw", "binary", "long binary", "onehot"]
)


def made(name: str, feedback: bool) -> ClosedLoop:
    if name in (*MODELS, *VARIANTS):
        return ClosedLoop(make(name, feedback=feedback), Raw(), Raw())
    torch.manual_seed(0)
    sample = {"mlp": Raw(), "mulaw": MuLaw(), "binary": Binary(8), "onehot": OneHot()}[name.split()[-1]]
    width, window = 4 if name.startswith("narrow") else 8, 150 if name.startswith("long") else 20
    model = MLP(sample.channels, sample.params, window, feedback_window=9, width=width, feedback=feedback)
    return ClosedLoop(model, sample, sample)


def noise(seed: int = 0, samples: int = SAMPLES) -> Tensor:
    return torch.rand(samples, generator=torch.Generator().manual_seed(seed)) - 0.5


def played(played_by: Stream, dry: Tensor) -> Tensor:
    blocks, sizes = [], cycle(SIZES)
    while dry.numel():
        block, dry = dry.tensor_split([next(sizes)])
        blocks.append(played_by.process(block))
    return torch.cat(blocks)


@each_loop
@each_feedback
@torch.no_grad()
def test_short_blocks_and_long_ones_in_any_order(name: str, feedback: bool) -> None:
    loop, dry = made(name, feedback), noise()
    silence = torch.zeros(loop.warm_up)
    expected = free_run(loop, torch.cat((silence, dry))[None, None], silence[None, None])[0, 0]
    assert torch.allclose(played(Stream(loop, silence, silence), dry), expected, atol=1e-5)


@each_loop
@each_feedback
@torch.no_grad()
def test_short_blocks_after_priming_and_after_another_stream_s_state(name: str, feedback: bool) -> None:
    loop, dry, wet = made(name, feedback), noise(), noise(1) * 0.5
    start = SAMPLES // 2
    first, second = Stream(loop, dry[:start], wet[:start]), Stream(loop)
    second.process(noise(2)[:40])
    second.restore(first.state())
    whole = first.process(dry[start:])
    assert torch.allclose(played(second, dry[start:]), whole, atol=1e-5)


@pytest.mark.parametrize(("name", "long"), [("long mlp", 1), ("mlp", 0)])
def test_pytorch_convolves_only_for_a_long_window_in_a_long_block(
    name: str, long: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    playing, driven = Stream(made(name, feedback=True)), []
    for samples in (SHORT, SHORT + 1):
        playing.process(noise()[:samples])
    monkeypatch.setattr(block, "drive", lambda *given: driven.append(given) or drive(*given))
    for samples, expected in ((SHORT, 0), (SHORT + 1, long)):
        playing.process(noise()[:samples])
        assert len(driven) == expected


@torch.no_grad()
def test_a_window_far_longer_than_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, dry = made("linear", feedback=False), noise(samples=1500)
    long = ClosedLoop(type(loop.predictor)(1, 1, 1200, feedback=False), Raw(), Raw())
    torch.nn.init.normal_(next(iter(long.predictor.parameters())), std=0.03)
    assert torch.allclose(played(Stream(long), dry), render(long, dry), atol=1e-5)
