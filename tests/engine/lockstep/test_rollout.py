"""The fast engines against the readable reference, and streaming against itself."""

from collections.abc import Callable

import pytest
import torch
from helpers.models import free_run
from torch import Tensor
from torch.nn.functional import conv1d
from torch.utils._python_dispatch import TorchDispatchMode

from fxemu.engine import feedforward
from fxemu.engine.feedforward import FFT_SAMPLES, FFT_TAPS, evaluate
from fxemu.engine.layout import Layout
from fxemu.engine.lockstep import lanes
from fxemu.engine.lockstep.rollout import Rollout, continue_rollout, rollout
from fxemu.engine.partition import Partition
from fxemu.engine.plan import DRY, Plan, Term
from fxemu.engine.streaming import stream
from fxemu.engine.streaming.stream import BLOCK, Stream, render, render_many
from fxemu.models import closed_loop
from fxemu.models.closed_loop import ClosedLoop

MakeLoop = Callable[..., ClosedLoop]
CASES = {
    "raw": {},
    "mulaw": {"inputs": "mulaw", "outputs": "mulaw"},
    "mulaw in, raw out": {"inputs": "mulaw"},
    "raw in, mulaw out": {"outputs": "mulaw"},
    "embedding": {"inputs": "mulaw", "outputs": "mulaw", "embedding": 3},
    "no feedback": {"inputs": "mulaw", "outputs": "mulaw", "feedback": False},
    "no feedback, embedding": {"feedback": False, "embedding": 2},
    "one sample each": {"context_window": 1, "feedback_window": 1},
    "present sample alone": {"context_window": 1, "feedback_window": None},
    "full windows, long skip": {"context_window": 12, "feedback_window": None, "dry_skip": 5, "layers": 3},
    "one layer, no skip, relu": {"layers": 1, "dry_skip": 0, "activation": "relu"},
    "sigmoid": {"activation": "sigmoid", "embedding": 2},
    "softsign": {"activation": "softsign", "embedding": 2},
    "lstm": {"model": "lstm"},
    "lstm, mulaw": {"model": "lstm", "inputs": "mulaw", "outputs": "mulaw"},
    "lstm, no feedback": {"model": "lstm", "feedback": False},
    "gru": {"model": "gru", "dry_skip": False},
    "gru, no feedback, mulaw": {"model": "gru", "feedback": False, "inputs": "mulaw"},
    "lru": {"model": "lru"},
    "lru, mulaw": {"model": "lru", "inputs": "mulaw", "outputs": "mulaw"},
    "lru, no feedback": {"model": "lru", "feedback": False, "layers": 1},
    "wavenet": {"model": "wavenet"},
    "wavenet, gated, mulaw": {"model": "wavenet", "gated": True, "inputs": "mulaw", "outputs": "mulaw"},
    "convnet": {"model": "convnet"},
    "dynamics": {"model": "dynamics"},
    "dynamics, no feedback": {"model": "dynamics", "feedback": False},
    "oscillator": {"model": "oscillator", "loop_gain": 1.0},
    "periodic filter": {"model": "periodic_filter", "loop_gain": 1.0},
    "periodic filter, two rates": {"model": "periodic filter, two rates", "loop_gain": 1.0},
    "periodic filter, no feedback": {"model": "periodic_filter", "feedback": False},
    "oscillator, no feedback": {"model": "oscillator", "feedback": False},
    "octave_gain": {"model": "octave_gain", "loop_gain": 1.0},
    "octave_gain, no feedback": {"model": "octave_gain", "feedback": False},
    "linear": {"model": "linear"},
    "wavenet, no feedback": {"model": "wavenet", "feedback": False},
    "at the limit": {"limit": 0.3, "loop_gain": 2.0},
    "at the limit, mulaw": {"inputs": "mulaw", "outputs": "mulaw", "limit": 0.3},
}
each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
# Every other case with more history than the predictor needs.
each_case_with_history = pytest.mark.parametrize(
    ("case", "extra"), [(case, 9 * (i % 2)) for i, case in enumerate(CASES.values())], ids=CASES
)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1) * 0.5


def run_and_gradients(
    run: Callable[..., Tensor], loop: ClosedLoop, dry: Tensor, history: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """The run, and the gradients of its product with noise."""
    loop.zero_grad()
    wet = run(loop, dry, history)
    wet = wet.prediction if isinstance(wet, Rollout) else wet[0] if isinstance(wet, tuple) else wet
    (wet * noise(*wet.shape, seed=9)).sum().backward()
    return wet.detach(), {name: p.grad.clone() for name, p in loop.named_parameters()}


def whole(gradients: dict[str, Tensor]) -> float:
    """The norm of all gradients together: what rounding is measured against where a parameter's own nearly cancels."""
    return float(torch.cat([g.flatten() for g in gradients.values()]).norm())


@each_case_with_history
def test_rollout_is_a_free_run_with_its_gradient(make_loop: MakeLoop, case: dict[str, object], extra: int) -> None:
    loop, steps = make_loop(**case), 50
    history = noise(4, 1, loop.warm_up + extra, seed=1) * loop.limit
    dry = noise(4, 1, history.shape[-1] + steps)
    expected, expected_gradients = run_and_gradients(free_run, loop, dry, history)
    wet, gradients = run_and_gradients(rollout, loop, dry, history)
    assert wet.shape == (4, 1, steps)
    assert torch.allclose(wet, expected, atol=1e-5)
    for name, gradient in expected_gradients.items():
        assert gradient.norm() > 0, name
        assert (gradients[name] - gradient).norm() <= 1e-4 * gradient.norm() + 1e-6 * whole(expected_gradients), name


@each_case
def test_a_rollout_that_is_continued_is_one_long_rollout(make_loop: MakeLoop, case: dict[str, object]) -> None:
    loop, steps = make_loop(**case), 20
    history = noise(4, 1, loop.warm_up, seed=1) * loop.limit
    dry = noise(4, 1, loop.warm_up + 3 * steps)
    run = rollout(loop, dry[..., : -2 * steps], history)
    parts = [run.prediction]
    for end in (dry.shape[-1] - steps, dry.shape[-1]):
        run = continue_rollout(loop, dry[..., end - steps - loop.warm_up : end], run.past, steps)
        parts.append(run.prediction)
    assert torch.allclose(torch.cat(parts, dim=-1), rollout(loop, dry, history).prediction, atol=1e-6)
    assert not any(past.requires_grad for past in run.past.values())


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training's loops for other devices than the CPU, on the CPU."""
    monkeypatch.setattr(lanes, "compiled", lambda where: False)
    # What the compiled loops read is not even made.
    monkeypatch.setattr(Layout, "tables", None)


@each_case
def test_rollout_elsewhere_is_a_free_run_with_its_gradient(
    elsewhere: None, make_loop: MakeLoop, case: dict[str, object]
) -> None:
    loop, steps = make_loop(**case), 20
    history = noise(3, 1, loop.warm_up + 3, seed=1) * loop.limit
    dry = noise(3, 1, history.shape[-1] + steps)
    expected, expected_gradients = run_and_gradients(free_run, loop, dry, history)
    wet, gradients = run_and_gradients(rollout, loop, dry, history)
    assert torch.allclose(wet, expected, atol=1e-5)
    for name, gradient in expected_gradients.items():
        assert (gradients[name] - gradient).norm() <= 1e-4 * gradient.norm() + 1e-6 * whole(expected_gradients), name


@pytest.mark.parametrize("feedback", [True, False])
@pytest.mark.parametrize("representation", ["raw", "mulaw"])
@pytest.mark.parametrize("model", ["gru", "lstm", "lru", "oscillator", "convnet"])
def test_teacher_forcing_through_the_loops(
    monkeypatch: pytest.MonkeyPatch, make_loop: MakeLoop, model: str, representation: str, feedback: bool
) -> None:
    if model == "oscillator" and representation == "mulaw":
        pytest.skip("it takes plain samples")
    loop = make_loop(model=model, inputs=representation, outputs=representation, feedback=feedback)
    dry, wet = noise(3, 1, loop.warm_up + 20), noise(3, 1, loop.warm_up + 20, seed=1)
    expected, expected_gradients = run_and_gradients(
        lambda loop, dry, wet: loop.teacher_forced(dry, wet), loop, dry, wet
    )
    # In training they are used only where PyTorch's are slower.
    monkeypatch.setattr(type(loop.predictor), "slow_forward", True)
    predicted, gradients = run_and_gradients(lambda loop, dry, wet: loop.teacher_forced(dry, wet), loop, dry, wet)
    assert predicted.shape == (3, 1, 20)
    assert torch.allclose(predicted, expected, atol=1e-5)
    for name, gradient in expected_gradients.items():
        assert (gradients[name] - gradient).norm() <= 1e-4 * gradient.norm() + 1e-6 * whole(expected_gradients), name


@pytest.mark.parametrize(
    ("model", "compiled", "through"), [("gru", True, True), ("gru", False, False), ("lstm", True, False)]
)
def test_a_gru_alone_is_teacher_forced_through_the_loops_on_a_cpu(
    monkeypatch: pytest.MonkeyPatch, make_loop: MakeLoop, model: str, compiled: bool, through: bool
) -> None:
    loop, called = make_loop(model=model), []
    monkeypatch.setattr(closed_loop, "compiled", lambda where: compiled)
    loop.predictor.register_forward_hook(lambda *_: called.append(True))
    loop.teacher_forced(noise(3, 1, loop.warm_up + 20), noise(3, 1, loop.warm_up + 20, seed=1))
    assert bool(called) is not through


class Operations(TorchDispatchMode):
    """The names of all operations that PyTorch is asked for, views left out."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if not function.is_view:
            self.names.append(function.__name__)
        return function(*args, **kwargs or {})


@pytest.mark.parametrize(
    ("model", "most"), [({}, 18), ({"inputs": "mulaw", "outputs": "mulaw"}, 48), ({"model": "gru"}, 44)]
)
def test_rollout_elsewhere_asks_for_few_operations_a_sample_and_waits_for_none_in_its_loop(
    elsewhere: None, make_loop: MakeLoop, model: dict[str, object], most: int
) -> None:
    loop = make_loop(**model)

    def operations(steps: int) -> list[str]:
        history, dry = noise(3, 1, loop.warm_up), noise(3, 1, loop.warm_up + steps)
        with Operations() as seen:
            run_and_gradients(rollout, loop, dry, history)
        return seen.names

    few, many = operations(20), operations(120)
    assert (len(many) - len(few)) / 100 <= most
    waits = {"_local_scalar_dense.default", "nonzero.default"}
    assert sum(name in waits for name in few) == sum(name in waits for name in many)


LOOPS = "compiled", "sub-batches", "PyTorch"


@pytest.mark.parametrize(
    ("batch", "loops", "case"),
    [(batch, loops, "raw") for batch in (1, 31, 33, 70) for loops in LOOPS]
    + [(33, loops, case) for loops in LOOPS for case in ("embedding", "lstm")],
)
def test_any_batch_size(
    monkeypatch: pytest.MonkeyPatch, make_loop: MakeLoop, batch: int, loops: str, case: str
) -> None:
    """Compiled, streams are grouped into lanes, and the last group is padded; a turn may be a single stream."""
    monkeypatch.setattr(lanes, "compiled", lambda where: loops != "PyTorch")
    if loops == "sub-batches":
        monkeypatch.setattr(lanes, "CACHE", 1)
    loop = make_loop(**CASES[case])
    history, dry = noise(batch, 1, loop.warm_up, seed=1), noise(batch, 1, loop.warm_up + 9)
    expected, expected_gradients = run_and_gradients(free_run, loop, dry, history)
    wet, gradients = run_and_gradients(rollout, loop, dry, history)
    assert torch.allclose(wet, expected, atol=1e-5)
    for name, gradient in expected_gradients.items():
        assert (gradients[name] - gradient).norm() <= 1e-4 * gradient.norm() + 1e-6 * whole(expected_gradients), name


def test_threads_change_nothing(make_loop: MakeLoop) -> None:
    loop = make_loop()
    history, dry = noise(70, 1, loop.warm_up, seed=1), noise(70, 1, loop.warm_up + 9)
    alone = run_and_gradients(rollout, loop, dry, history)
    torch.set_num_threads(2)
    try:
        together = run_and_gradients(rollout, loop, dry, history)
    finally:
        torch.set_num_threads(1)
    assert torch.equal(alone[0], together[0])
    assert all(torch.allclose(alone[1][name], together[1][name], rtol=1e-5, atol=1e-6) for name in alone[1])


@pytest.mark.parametrize("name", ["at the limit", "at the limit, mulaw"])
def test_the_limit_is_hit_but_not_always(make_loop: MakeLoop, name: str) -> None:
    loop = make_loop(**CASES[name])
    history = torch.zeros(4, 1, loop.warm_up)
    held = rollout(loop, noise(4, 1, loop.warm_up + 60), history).prediction.abs() == loop.limit
    assert 0.05 < held.float().mean() < 0.95


def test_rollout_needs_its_history(make_loop: MakeLoop) -> None:
    with pytest.raises(ValueError, match="history: got 30 samples; this predictor needs 31"):
        rollout(make_loop(), torch.zeros(1, 1, 100), torch.zeros(1, 1, 30))


@each_case
@torch.no_grad()
def test_render_is_a_free_run(make_loop: MakeLoop, case: dict[str, object]) -> None:
    loop, dry = make_loop(**case), noise(200)
    assert torch.allclose(render(loop, dry), free_run(loop, dry[None, None])[0, 0], atol=1e-5)


@torch.no_grad()
def test_render_is_a_free_run_over_several_blocks(monkeypatch: pytest.MonkeyPatch, make_loop: MakeLoop) -> None:
    monkeypatch.setattr(stream, "BLOCK", 3000)
    loop, dry = make_loop("mulaw", "mulaw", layers=1), noise(10_000)
    wet = render(loop, dry)
    assert (wet - free_run(loop, dry[None, None])[0, 0]).abs().max() <= 1e-4
    loop.predictor.wet.weight.zero_()
    assert (wet - render(loop, dry)).square().mean() > 0.1 * wet.square().mean(), "the loop hardly matters"


@pytest.mark.parametrize("threads", [1, 2])
@torch.no_grad()
def test_several_songs_at_once(make_loop: MakeLoop, threads: int) -> None:
    loop, songs = make_loop("mulaw", "mulaw"), [noise(500 + seed, seed=seed) for seed in range(5)]
    torch.set_num_threads(threads)
    try:
        wets = render_many(loop, songs)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(1)
    assert all(torch.equal(wet, render(loop, dry)) for wet, dry in zip(wets, songs, strict=True))


CHUNKED = {
    "windows through the FFT": {"context_window": 200, "feedback_window": None},
    "embedding": {"inputs": "mulaw", "outputs": "mulaw", "embedding": 3},
    "no feedback": {"feedback": False},
}


@pytest.mark.parametrize("case", CHUNKED.values(), ids=CHUNKED)
@torch.no_grad()
def test_chunks_of_any_size_give_the_same(make_loop: MakeLoop, case: dict[str, object]) -> None:
    loop, dry = make_loop(**case), noise(BLOCK + 300)
    whole = render(loop, dry)
    assert whole.shape == dry.shape
    for size, samples in ((1, 500), (7, 3000), (64, dry.numel()), (1000, dry.numel())):
        running = Stream(loop)
        chunks = torch.cat([running.process(chunk) for chunk in dry[:samples].split(size)])
        assert (chunks - whole[:samples]).abs().max() <= 1e-5, size


def test_no_samples_in_none_out(make_loop: MakeLoop) -> None:
    running, fresh, dry = Stream(make_loop()), Stream(make_loop()), noise(100)
    assert running.process(torch.zeros(0)).shape == (0,)
    assert torch.equal(running.process(dry), fresh.process(dry))


@each_case_with_history
@torch.no_grad()
def test_a_primed_stream_is_a_free_run(make_loop: MakeLoop, case: dict[str, object], extra: int) -> None:
    loop = make_loop(**case)
    history = noise(max(1, loop.warm_up) + extra, seed=1) * loop.limit
    dry = noise(history.numel() + 100)
    primed = Stream(loop, dry[: history.numel()], history)
    expected = free_run(loop, dry[None, None], history[None, None])[0, 0]
    assert torch.allclose(primed.process(dry[history.numel() :]), expected, atol=1e-5)


@pytest.mark.parametrize(("dry", "wet"), [(30, 31), (31, 30), (0, 0)])
def test_priming_that_is_too_short(make_loop: MakeLoop, dry: int, wet: int) -> None:
    with pytest.raises(ValueError, match=f"priming: got {dry} dry and {wet} wet samples; need 31"):
        Stream(make_loop(), torch.zeros(dry), torch.zeros(wet))


def test_a_stream_keeps_the_weights_it_was_made_with(make_loop: MakeLoop) -> None:
    loop, dry = make_loop(), noise(300)
    before = render(loop, dry)
    made_before = Stream(loop)
    for parameter in loop.parameters():
        parameter.data.zero_()
    assert torch.equal(made_before.process(dry), before)
    assert torch.equal(render(loop, dry), torch.zeros(300))


@each_case
def test_the_last_samples_alone_are_those_of_all(make_loop: MakeLoop, case: dict[str, object]) -> None:
    plan = make_loop(**case).plan()
    dry, wanted = noise(2, 1, plan.reach() + 100), Partition(plan).boundary
    whole, late = evaluate(plan, {DRY: dry}, wanted), evaluate(plan, {DRY: dry}, wanted, 10)
    for value in wanted:
        assert late[value].shape[-1] >= 10
        assert torch.allclose(late[value][..., -10:], whole[value][..., -10:], atol=1e-6)


@pytest.mark.parametrize("taps", [FFT_TAPS, 255, 256, 1000])
@pytest.mark.parametrize("samples", [FFT_SAMPLES, 5001])
def test_the_fft_branch_is_a_convolution(monkeypatch: pytest.MonkeyPatch, taps: int, samples: int) -> None:
    calls, through_fft = [], feedforward._fft_convolution
    monkeypatch.setattr(feedforward, "_fft_convolution", lambda *args: calls.append(args) or through_fft(*args))
    plan = Plan()
    weight = noise(3, 1, taps, seed=1).requires_grad_()
    value = plan.add(Term(DRY, weight), bias=torch.tensor([0.1, 0.2, 0.3]))
    dry = noise(2, 1, samples)
    result = evaluate(plan, {DRY: dry}, {value})[value]
    expected = conv1d(dry, weight, torch.tensor([0.1, 0.2, 0.3]))
    assert len(calls) == 1
    assert torch.allclose(result, expected, atol=1e-4)
    (gradient,), (expected_gradient,) = (torch.autograd.grad(x.square().sum(), weight) for x in (result, expected))
    assert torch.allclose(gradient, expected_gradient, rtol=1e-3, atol=1e-2)


def test_a_rollout_of_one_step_has_the_reference_gradient(make_loop: MakeLoop) -> None:
    loop = make_loop()
    audio = torch.randn(3, 1, loop.warm_up + 1, generator=torch.Generator().manual_seed(0)) * 0.3
    grads = []
    for run in (free_run, rollout):
        loop.zero_grad()
        wet = run(loop, audio, audio[..., :-1])
        (wet if run is free_run else wet.prediction).square().sum().backward()
        grads.append([p.grad.clone() for p in loop.parameters()])
    for reference, fast in zip(*grads, strict=True):
        assert torch.allclose(reference, fast, rtol=1e-4, atol=1e-6)


def test_a_diverging_companded_output_keeps_its_gradient_finite(make_loop: MakeLoop) -> None:
    loop = make_loop(inputs="mulaw", outputs="mulaw")
    with torch.no_grad():
        loop.predictor.out.weight.mul_(1e4)
    audio = torch.randn(3, 1, loop.warm_up + 20, generator=torch.Generator().manual_seed(0)) * 0.3
    rollout(loop, audio, audio[..., :-20]).prediction.square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in loop.parameters())
