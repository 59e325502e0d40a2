"""An emulation as a function, of audio of any rate and type; and as a stream, whose state can be saved and restored."""

import math

import numpy as np
import pytest
import torch

import fxemu
from fxemu.emulation import Emulation
from fxemu.emulation.channel import Channel
from fxemu.engine.streaming.stream import render
from fxemu.models.files import save

RATE = 44_100


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1) * 0.5


@pytest.fixture
def emulation(make_loop) -> Emulation:
    return Emulation(make_loop(), RATE)


@pytest.fixture
def gain(make_loop) -> Emulation:
    """An emulation that halves its input exactly."""
    loop = make_loop(context_window=1, feedback_window=1)
    for parameter in loop.parameters():
        parameter.data.zero_()
    loop.predictor.skip.weight.data.fill_(0.5)
    return Emulation(loop, RATE)


def test_a_run_is_loaded(tmp_path, make_loop):
    loop, dry = make_loop(), noise(1000)
    model = {"_target_": "fxemu.models.MLP", "context_window": 32, "feedback_window": 16, "layers": 2, "width": 8}
    raw = {"_target_": "fxemu.representations.Raw"}
    save(loop, {"data": {"sample_rate": RATE}, "model": model, "repr": {"input": raw, "output": raw}}, tmp_path)
    emulation = fxemu.load(tmp_path)
    assert emulation.sample_rate == RATE and torch.equal(emulation(dry, RATE), render(loop, dry))


def test_arrays_and_tensors_mono_and_channels(emulation):
    dry = noise(2, 900)
    wet = emulation(dry, RATE)
    assert wet.shape == dry.shape and torch.equal(wet[1], emulation(dry[1], RATE))
    assert torch.equal(wet[1], render(emulation.loop, dry[1])), "channels are not separate"
    array = emulation(dry.numpy(), RATE)
    assert isinstance(array, np.ndarray) and np.array_equal(array, wet.numpy())
    assert emulation(torch.zeros(0), RATE).shape == (0,) and emulation(np.zeros((0, 5)), RATE).shape == (0, 5)


@pytest.mark.parametrize("rate", [8000, 48_000, 96_000])
def test_another_rate_keeps_time_level_and_length(gain, rate):
    t = torch.arange(rate) / rate
    dry = 0.5 * torch.sin(2 * math.pi * 997 * t)
    wet = gain(dry, rate)
    assert wet.shape == dry.shape
    inside = slice(rate // 50, -rate // 50)
    error = (wet - 0.5 * dry)[inside].square().mean() / (0.5 * dry)[inside].square().mean()
    assert 10 * math.log10(error) < -80


@pytest.mark.parametrize("rate", [RATE, 48_000])
def test_any_chunks_give_the_same_bits(emulation, rate):
    dry = noise(20_000).numpy()
    whole = emulation(dry, rate)
    for size in (1000, 8192, 12_345):
        channel = Channel(emulation.stream(), RATE, rate)
        chunks = [channel.process(dry[i : i + size]) for i in range(0, dry.size, size)]
        assert np.array_equal(np.concatenate([*chunks, channel.end()]), whole), size


@pytest.mark.parametrize(
    ("dry", "rate", "message"),
    [
        (torch.zeros(1, 1, 5), RATE, r"dry: got shape \(1, 1, 5\)"),
        (torch.tensor(0.0), RATE, r"dry: got shape \(\)"),
        (torch.zeros(5), 0, "sample_rate: got 0"),
    ],
)
def test_a_signal_of_wrong_shape_or_rate_is_refused(emulation, dry, rate, message):
    with pytest.raises(ValueError, match=message):
        emulation(dry, rate)


@pytest.mark.parametrize("rate", [RATE, 48_000])
def test_the_latency_of_oversampling_is_taken_out(gain, rate):
    t = torch.arange(rate // 4) / rate
    dry = 0.5 * torch.sin(2 * math.pi * 997 * t)
    wet = Emulation(gain.loop, RATE, oversample=2)(dry, rate)
    assert wet.shape == dry.shape
    inside = slice(rate // 50, -rate // 50)
    assert (wet - gain(dry, rate))[inside].abs().max() < 1e-4


def test_an_oversampled_model_cannot_be_primed(gain):
    with pytest.raises(ValueError, match="an oversampled model cannot be primed"):
        Emulation(gain.loop, RATE, oversample=2).stream(torch.zeros(500), torch.zeros(500))


CASES = [{}, {"model": "lstm"}, {"model": "wavenet"}, {"feedback": False}]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_stream_continues_from_a_saved_state(make_loop, case):
    emulation, dry = Emulation(make_loop(**case), RATE), noise(900)
    stream = emulation.stream()
    stream.process(dry[:400])
    kept = stream.state()
    expected = stream.process(dry[400:])
    for other in (stream, emulation.stream()):
        other.restore(kept)
        assert torch.equal(other.process(dry[400:]), expected)
    fresh = emulation.stream().process(dry[400:])
    assert not torch.equal(fresh, expected), "the history has no effect"


def test_the_state_of_another_model_is_refused(make_loop):
    state = Emulation(make_loop(model="lstm"), RATE).stream().state()
    with pytest.raises(ValueError, match="another model"):
        Emulation(make_loop(), RATE).stream().restore(state)


@pytest.mark.parametrize(
    "case", [{}, {"model": "lstm"}, {"model": "wavenet"}, {"inputs": "mulaw", "outputs": "mulaw"}], ids=str
)
def test_a_stream_that_is_fed_the_true_wet_is_teacher_forced(make_loop, case):
    loop = make_loop(**case)
    dry, wet = noise(600), noise(600, seed=1) * loop.limit
    silence = torch.zeros(loop.warm_up)
    stream = Emulation(loop, RATE).stream(silence, silence)
    output = torch.cat([stream.process(x, y) for x, y in zip(dry.split(100), wet.split(100), strict=True)])
    expected, _ = loop.teacher_forced(torch.cat((silence, dry))[None, None], torch.cat((silence, wet))[None, None])
    assert torch.allclose(output, expected[0, 0].clamp(-loop.limit, loop.limit), atol=1e-5)
    # The fed samples are its history from then on.
    primed = Emulation(loop, RATE).stream(torch.cat((silence, dry)), torch.cat((silence, wet)))
    more = noise(200, seed=2)
    assert torch.allclose(stream.process(more), primed.process(more), atol=1e-5)


@pytest.mark.parametrize("samples", [1, 99, 101])
def test_fed_samples_must_be_as_many_as_dry_ones(emulation, samples):
    with pytest.raises(ValueError, match=rf"fed: got shape \({samples},\) for dry of \(100,\)"):
        emulation.stream().process(torch.zeros(100), torch.zeros(samples))
