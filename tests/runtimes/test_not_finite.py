"""Samples that are NaN or infinite, and states that are, in everything that plays a model: neither stays."""

import ctypes
import shutil
import subprocess
from collections.abc import Callable

import numpy as np
import pytest
import torch
from helpers.models import make
from torch import Tensor

from fxemu.emulation import Emulation
from fxemu.emulation.live import LiveProcessor
from fxemu.emulation.mix import Mix
from fxemu.engine.streaming.stream import CHECKED, Stream
from fxemu.models.closed_loop import ClosedLoop
from fxemu.representations import Raw
from fxemu.runtimes import Model
from fxemu.runtimes.c import C, Lv2
from fxemu.runtimes.c.lv2 import Plugin
from fxemu.runtimes.onnx import FiniteStep
from fxemu.runtimes.torchscript import TorchScript

RATE, BLOCK = 44_100, CHECKED
BAD = {3: float("nan"), 60: float("inf"), 61: float("-inf"), 200: float("nan")}
FAMILIES = ("mlp", "lstm", "gru", "lru", "wavenet", "dynamics", "oscillator")
needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler (cc)")

# dry (samples,) to wet (samples,), from silence; given `poisoned`, every state is NaN during the first block.
Player = Callable[[Tensor, bool], Tensor]


def model(family: str) -> Model:
    return Model(ClosedLoop(make(family), Raw(), Raw()), RATE, family)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory) -> ctypes.CDLL:
    """All families in one library, with what -ffast-math makes of NaN."""
    folder = tmp_path_factory.mktemp("c")
    for family in FAMILIES:
        C().write(model(family), folder / f"{family}.c")
    files = sorted(map(str, folder.glob("*.c")))
    subprocess.run(["cc", "-O1", "-ffast-math", "-shared", "-fPIC", *files, "-o", folder / "all.so", "-lm"], check=True)
    return ctypes.CDLL(str(folder / "all.so"))


def by_stream(given: Model, dry: Tensor, poisoned: bool) -> Tensor:
    stream = Stream(given.loop)
    if poisoned:
        stream.restore({k: x if k == "dry" else x * float("nan") for k, x in stream.state().items()})
    return torch.cat([stream.process(part) for part in dry.split(BLOCK)])


def by_c(library: ctypes.CDLL, family: str, dry: Tensor, poisoned: bool) -> Tensor:
    state = (ctypes.c_float * 1_000_000)()
    getattr(library, f"{family}_init")(state)
    if poisoned:
        # Behind the number of samples in the block.
        state[1:] = [float("nan")] * (len(state) - 1)
    x, wet = dry.numpy().copy(), np.empty(dry.numel(), np.float32)
    getattr(library, f"{family}_process")(state, *(ctypes.c_void_p(s.ctypes.data) for s in (x, wet)), dry.numel())
    return torch.from_numpy(wet)


def dry_samples() -> tuple[Tensor, Tensor]:
    """Noise with some samples that are not finite, and the same with these as 0."""
    zeroed = torch.rand(6 * BLOCK, generator=torch.Generator().manual_seed(0)) - 0.5
    zeroed[list(BAD)] = 0
    bad = zeroed.clone()
    bad[list(BAD)] = torch.tensor(list(BAD.values()))
    return bad, zeroed


def check(play: Player, forgets: bool = True) -> None:
    bad, zeroed = dry_samples()
    assert torch.equal(play(bad, False), play(zeroed, False))
    recovered = play(zeroed, True)
    assert torch.isfinite(recovered[BLOCK:]).all()
    # Where -ffast-math has made a number of NaN, that is forgotten as any wrong past is (a wrong phase takes longer).
    assert not forgets or torch.allclose(recovered[-BLOCK:], play(zeroed[BLOCK:], False)[-BLOCK:], atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_neither_stays_in_a_stream(family):
    given = model(family)
    check(lambda dry, poisoned: by_stream(given, dry, poisoned))


@needs_compiler
@pytest.mark.parametrize("family", FAMILIES)
def test_neither_stays_in_c(family, compiled):
    check(lambda dry, poisoned: by_c(compiled, family, dry, poisoned), family != "oscillator")


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_neither_stays_in_the_step_of_onnx(family):
    step = FiniteStep(model(family).loop)
    zero = step(torch.zeros(1), *step.start)
    for x in (float("nan"), float("inf")):
        assert all(map(torch.equal, step(torch.tensor([x]), *step.start), zero))
    wet, *following = step(torch.zeros(1), *(state * float("nan") for state in step.start))
    assert torch.isfinite(wet).all() and all(map(torch.equal, following, step.start))


@torch.no_grad()
@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_neither_stays_in_torchscript(tmp_path):
    given = model("lru")
    TorchScript().write(given, tmp_path / "x.pt")
    player, (bad, zeroed) = torch.jit.load(str(tmp_path / "x.pt")), (x[:64] for x in dry_samples())
    expected = player(zeroed)
    player.reset()
    assert torch.equal(player(bad), expected)
    player.state = [x * float("nan") for x in player.state]
    player(zeroed[:1])
    assert torch.equal(player(zeroed), expected)


@needs_compiler
def test_nan_does_not_stay_in_a_plugin(tmp_path):
    given, (bad, zeroed) = model("gru"), dry_samples()
    Lv2().write(given, tmp_path / "gru.lv2")
    played = [Plugin(tmp_path / "gru.lv2" / "gru.so", RATE).play(dry.numpy()) for dry in (bad, zeroed)]
    assert np.array_equal(*played)


def test_nan_counts_as_0_live_and_in_a_call():
    emulation, (bad, zeroed) = Emulation(model("gru").loop, RATE), dry_samples()
    live = [LiveProcessor(emulation, Mix(0.5), BLOCK)(dry.numpy(), False) for dry in (bad, zeroed)]
    called = [emulation(dry.numpy(), RATE) for dry in (bad, zeroed)]
    assert np.array_equal(*live) and np.array_equal(*called)
