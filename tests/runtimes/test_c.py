"""The C file against the renderer: every family, representation and activation, compiled and run."""

import ctypes
import math
import shutil
import subprocess
from functools import partial

import numpy as np
import pytest
import torch
from helpers.models import echoing

from fxemu.engine.streaming.stream import render
from fxemu.models import GRU, LRU, LSTM, MLP, ConvNet, Dynamics, Linear, OctaveGain, Oscillator, PeriodicFilter, WaveNet
from fxemu.models.closed_loop import ClosedLoop
from fxemu.representations import Binary, MuLaw, OneHot, OneHotResidual, Raw
from fxemu.runtimes import ExportError, Model, export
from fxemu.runtimes.base import TOLERANCE
from fxemu.runtimes.c import C
from fxemu.runtimes.lv2 import Lv2

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler (cc)")
RATE = 44_100
# Of the binary representation at full scale: a level of its 11 companded bits times the steepest slope.
LEVEL = math.log(256) / 2047
WARNED = ("-Wall", "-Wextra", "-pedantic", "-Werror")
MLP_SMALL = {"context_window": 20, "feedback_window": 9, "width": 6, "layers": 2}
FAMILIES = {
    "mlp": lambda c, p, f: MLP(c, p, **MLP_SMALL, dry_skip=3, feedback=f),
    "lstm": lambda c, p, f: LSTM(c, p, width=5, memory_samples=50, feedback=f),
    "gru": lambda c, p, f: GRU(c, p, width=5, memory_samples=50, feedback=f),
    "lru": lambda c, p, f: LRU(
        c, p, width=5, states=4, layers=2, window=6, longest=200.0, memory_samples=50, feedback=f
    ),
    "convnet": lambda c, p, f: ConvNet(c, p, 4, dilations=[1, 2, 5], feedback=f),
    "linear": lambda c, p, f: Linear(c, p, 20, 9, feedback=f),
    # Its past is longer than the block.
    "wavenet": lambda c, p, f: WaveNet(c, p, 4, dilations=[1, 2, 100], feedback=f),
}
# At this temperature an untrained predictor is heard.
Loud, LoudResidual = partial(OneHot, temperature=0.2), partial(OneHotResidual, temperature=0.2)
REPRESENTATIONS = {"raw": Raw, "mulaw": MuLaw, "binary": Binary, "onehot": Loud, "onehot_residual": LoudResidual}
VARIANTS = {
    "octave_gain": lambda c, p, f: echoing(OctaveGain(c, p, 20, 2, 6, 4, 3, 4, 50, f)),
    "dynamics": lambda c, p, f: Dynamics(c, p, knees=3, memory_samples=50, feedback=f),
    "oscillator": lambda c, p, f: Oscillator(c, p, harmonics=3, memory_samples=50, feedback=f),
    "periodic_filter": lambda c, p, f: PeriodicFilter(c, p, 6, rank=3, harmonics=4, memory_samples=50, feedback=f),
    "relu": lambda c, p, f: MLP(c, p, **MLP_SMALL, activation="relu", embedding=3, feedback=f),
    "softsign": lambda c, p, f: MLP(c, p, **MLP_SMALL, activation="softsign", dry_skip=0, feedback=f),
    "gated": lambda c, p, f: WaveNet(c, p, 3, 1, kernel=2, dilations=[1, 3], gated=True, feedback=f),
    "sigmoid": lambda c, p, f: WaveNet(c, p, 3, 1, dilations=[2], activation="sigmoid", feedback=f),
}


def cases():
    for family, make in {**FAMILIES, **VARIANTS}.items():
        for representation in REPRESENTATIONS if family in FAMILIES else ["raw"]:
            # Without feedback each family once, and each representation once.
            for feedback in (True, False) if representation == "raw" or family == "mlp" else (True,):
                yield f"{family}_{representation}_{'on' if feedback else 'off'}", make, representation, feedback


def model(name: str, make, representation: str, feedback: bool) -> Model:
    torch.manual_seed(0)
    kind = REPRESENTATIONS[representation]
    encoder, decoder = kind(), kind()
    return Model(ClosedLoop(make(encoder.channels, decoder.params, feedback), encoder, decoder), RATE, name)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory) -> ctypes.CDLL:
    """All cases in one library, built with every warning an error."""
    folder = tmp_path_factory.mktemp("c")
    for case in cases():
        C().write(model(*case), folder / f"{case[0]}.c")
    files = sorted(map(str, folder.glob("*.c")))
    subprocess.run(["cc", "-std=c99", *WARNED, "-shared", "-fPIC", *files, "-o", folder / "all.so", "-lm"], check=True)
    return ctypes.CDLL(str(folder / "all.so"))


def play(library: ctypes.CDLL, name: str, dry: torch.Tensor, blocks: list[int]) -> np.ndarray:
    state = ctypes.create_string_buffer(4_000_000)
    getattr(library, f"{name}_init")(state)
    parts = []
    for part in np.split(dry.numpy().copy(), np.cumsum(blocks)):
        wet = np.empty_like(part)
        process = getattr(library, f"{name}_process")
        process(state, part.ctypes.data_as(ctypes.c_void_p), wet.ctypes.data_as(ctypes.c_void_p), part.size)
        parts.append(wet)
    return np.concatenate(parts)


@pytest.mark.parametrize("case", list(cases()), ids=lambda case: case[0])
def test_plays_as_the_renderer_in_blocks_of_any_size(compiled, case):
    given = model(*case)
    dry, wet = given.reference_pair(3000)
    played = play(compiled, case[0], dry, [1, 2, 500, 0, 127, 128, 129])
    assert wet.std() > 1e-5
    until = wet.numel()
    if case[2] == "binary" and (apart := np.abs(played - wet.numpy()) > TOLERANCE).any():
        # A sample half-way between two levels was rounded the other way: less than a level, and two runs from there on.
        until = int(apart.argmax())
        assert until > 300
        assert abs(played[until] - float(wet[until])) < LEVEL
    assert np.abs(played - wet.numpy())[:until].max() < TOLERANCE
    assert np.abs(played - play(compiled, case[0], dry, [])).max() < TOLERANCE


def test_the_file_checks_itself_and_appears_only_if_it_passes(tmp_path):
    given = model("My amp, no. 1", FAMILIES["gru"], "raw", True)
    assert "within" in export(given, C(), tmp_path / "amp.c")
    text = (tmp_path / "amp.c").read_text()
    assert "my_amp_no_1_process(my_amp_no_1_state *s, const float *dry, float *wet, int n);" in text
    wrong = C()
    wrong.write = lambda model, path: path.write_text(
        text.replace("check_wet[2048] = {\n  ", "check_wet[2048] = {\n  9")
    )
    with pytest.raises(ExportError, match="fails its check"):
        export(given, wrong, tmp_path / "wrong.c")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["amp.c", "amp.h"]


def test_a_diverged_model_is_refused():
    loop = model("x", FAMILIES["mlp"], "raw", True).loop
    loop.predictor.out.bias.data.fill_(float("nan"))
    with pytest.raises(ExportError, match=r"predictor\.out\.bias holds NaN"):
        Model(loop, RATE)


def test_long_after_the_start_it_is_still_the_same(compiled):
    case = next(case for case in cases() if case[0] == "wavenet_raw_on")
    dry = 0.3 * torch.randn(RATE, generator=torch.Generator().manual_seed(0))
    assert np.abs(play(compiled, case[0], dry, []) - render(model(*case).loop, dry).numpy()).max() < 5e-6


@pytest.fixture(scope="module")
def raw_sources(tmp_path_factory) -> list[str]:
    """A file for each family and activation, and one that is a plugin."""
    folder = tmp_path_factory.mktemp("raw")
    for case in cases():
        if case[2:] == ("raw", True) or case[0].startswith("mlp"):
            C().write(model(*case), folder / f"{case[0]}.c")
    Lv2().write(model(*next(cases())), folder / "x.lv2")
    return [str(path) for path in folder.rglob("*.c")]


@pytest.mark.parametrize(
    "compiler",
    [("gcc", "-x", "c", "-std=c99"), ("g++", "-x", "c++"), ("clang", "-x", "c", "-std=c99"), ("clang++", "-x", "c++")],
    ids=lambda words: words[0],
)
def test_one_source_is_c_and_cpp_without_a_warning(raw_sources, compiler):
    if shutil.which(compiler[0]) is None:
        pytest.skip(f"{compiler[0]} is not installed")
    subprocess.run([*compiler, *WARNED, "-fsyntax-only", "-DSELF_CHECK", *raw_sources], check=True)


def test_a_program_in_cpp_includes_the_header(tmp_path):
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed")
    C().write(model("it", FAMILIES["gru"], "raw", True), tmp_path / "it.c")
    (tmp_path / "main.cpp").write_text(
        '#include "it.h"\nint main() { it_state s; float y = 1; it_init(&s); it_process(&s, &y, &y, 1); return 0; }'
    )
    subprocess.run(["cc", "-c", "it.c"], cwd=tmp_path, check=True)
    subprocess.run(["g++", *WARNED, "main.cpp", "it.o", "-lm"], cwd=tmp_path, check=True)
    subprocess.run([tmp_path / "a.out"], check=True)
