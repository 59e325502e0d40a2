"""The C file against the renderer: every family, representation and activation, compiled and run."""

import ctypes
import math
import shutil
import subprocess
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from helpers.models import MODELS, VARIANTS, make

from fxemu.audio.polyphase import round_trip
from fxemu.emulation import Emulation
from fxemu.engine.streaming.stream import render
from fxemu.models import LSTM
from fxemu.models.closed_loop import ClosedLoop
from fxemu.models.knobs import Knob
from fxemu.representations import Binary, MuLaw, OneHot, OneHotResidual, Raw
from fxemu.runtimes import ExportError, Model, export
from fxemu.runtimes.base import TOLERANCE
from fxemu.runtimes.c import C, Lv2, source

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler (cc)")
RATE = 44_100
# Of the binary representation at full scale: a level of its 11 companded bits times the steepest slope.
LEVEL = math.log(256) / 2047
WARNED = ("-Wall", "-Wextra", "-pedantic", "-Werror")
# At this temperature the output of an untrained predictor is loud.
Loud, LoudResidual = partial(OneHot, temperature=0.2), partial(OneHotResidual, temperature=0.2)
REPRESENTATIONS = {"raw": Raw, "mulaw": MuLaw, "binary": Binary, "onehot": Loud, "onehot_residual": LoudResidual}
# A past that is longer than the block.
LONG = {"wavenet": {"dilations": [1, 2, 100]}}
# (predictor, representation, feedback): each predictor with and without feedback, each representation with a
# predictor of windows and with one that has a state.
CASES = [(name, "raw", feedback) for name in (*MODELS, *VARIANTS) for feedback in (True, False)]
CASES += [(name, other, True) for name in ("mlp", "lstm") for other in REPRESENTATIONS if other != "raw"]
CASES += [("mlp", other, False) for other in REPRESENTATIONS if other != "raw"]


def model(predictor: str, representation: str, feedback: bool, name: str | None = None) -> Model:
    encoder, decoder = REPRESENTATIONS[representation](), REPRESENTATIONS[representation]()
    sizes = encoder.channels, decoder.params
    loop = ClosedLoop(make(predictor, *sizes, feedback=feedback, **LONG.get(predictor, {})), encoder, decoder)
    return Model(loop, RATE, name or f"{predictor} {representation} {feedback}")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory) -> ctypes.CDLL:
    """All cases in one library, built with every warning an error."""
    folder = tmp_path_factory.mktemp("c")
    for case in CASES:
        given = model(*case)
        C().write(given, folder / f"{given.identifier}.c")
    files = sorted(map(str, folder.glob("*.c")))
    subprocess.run(["cc", "-std=c99", *WARNED, "-shared", "-fPIC", *files, "-o", folder / "all.so", "-lm"], check=True)
    return ctypes.CDLL(str(folder / "all.so"))


def play(library: ctypes.CDLL, given: Model, dry: torch.Tensor, blocks: list[int], state=None) -> np.ndarray:
    if state is None:
        state = ctypes.create_string_buffer(4_000_000)
        getattr(library, f"{given.identifier}_init")(state)
    process = getattr(library, f"{given.identifier}_process")
    parts = []
    for part in np.split(dry.numpy().copy(), np.cumsum(blocks)):
        wet = np.empty_like(part)
        process(state, part.ctypes.data_as(ctypes.c_void_p), wet.ctypes.data_as(ctypes.c_void_p), part.size)
        parts.append(wet)
    return np.concatenate(parts)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_plays_as_the_renderer_in_blocks_of_any_size(compiled, case):
    given = model(*case)
    dry, wet = given.reference_pair(3000)
    played = play(compiled, given, dry, [1, 2, 500, 0, 127, 128, 129])
    assert wet.std() > 1e-5
    until = wet.numel()
    if case[1] == "binary" and (apart := np.abs(played - wet.numpy()) > TOLERANCE).any():
        # A sample half-way between two levels was rounded the other way: less than a level, and two runs from there on.
        until = int(apart.argmax())
        assert until > 300
        assert abs(played[until] - float(wet[until])) < LEVEL
    assert np.abs(played - wet.numpy())[:until].max() < TOLERANCE
    assert np.abs(played - play(compiled, given, dry, [])).max() < TOLERANCE


@pytest.mark.parametrize("name", [case[0] for case in CASES if case[1:] == ("raw", True)])
def test_silence_is_at_first_what_a_render_of_it_is_seconds_later(compiled, name):
    given, silence = model(name, "raw", True), torch.zeros(2 * RATE)
    rest = render(given.loop, silence)[-1]
    assert np.abs(play(compiled, given, silence[: RATE // 20], []) - rest.numpy()).max() < 1e-5


def test_it_calls_nothing_that_allocates_or_locks(compiled):
    if shutil.which("nm") is None:
        pytest.skip("nm is not installed (apt-get install binutils)")
    listed = subprocess.run(["nm", "-D", "-u", compiled._name], capture_output=True, text=True, check=True).stdout
    called = {word.split("@")[0] for word in listed.split() if not word.startswith("_") and len(word) > 1}
    memory = {"memcpy", "memmove", "memset"}
    numbers = {"sin", "ceil", "fabsf", "fminf", "fmaxf", "expf", "exp", "logf", "log1pf", "powf", "rintf", "sqrtf"}
    assert called <= memory | numbers | {"cosf", "sinf", "floorf", "roundf", "copysignf", "tanhf", "expm1f", "log2f"}


@pytest.mark.parametrize("rate", [22_050, 48_000, 192_000])
def test_plays_at_the_rate_of_a_host(compiled, rate):
    given = model("gru", "raw", True)
    dry = given.reference_pair(4000)[0]
    host = ctypes.create_string_buffer(4_000_000)
    late = getattr(compiled, f"{given.identifier}_host_init")(host, rate)
    wet = play(compiled, replace(given, name=f"{given.identifier}_host"), dry, [1, 2, 500, 0, 127], host)
    assert late == round_trip(rate, RATE)
    assert np.abs(wet[late:] - Emulation(given.loop, RATE)(dry, rate).numpy()[:-late]).max() < 1e-5
    assert getattr(compiled, f"{given.identifier}_host_init")(host, 8000) == -1


def test_the_file_checks_itself_and_appears_only_if_it_passes(tmp_path):
    given = model("gru", "raw", True, "My amp, no. 1")
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
    loop = model("mlp", "raw", True).loop
    loop.predictor.out.bias.data.fill_(float("nan"))
    with pytest.raises(ExportError, match=r"predictor\.out\.bias holds NaN"):
        Model(loop, RATE)


def test_long_after_the_start_it_is_still_the_same(compiled):
    given = model("wavenet", "raw", True)
    dry = 0.3 * torch.randn(RATE, generator=torch.Generator().manual_seed(0))
    assert np.abs(play(compiled, given, dry, []) - render(given.loop, dry).numpy()).max() < 5e-6


@pytest.fixture(scope="module")
def raw_sources(tmp_path_factory) -> list[str]:
    """A file for each family and activation, and one that is a plugin."""
    folder = tmp_path_factory.mktemp("raw")
    for case in CASES:
        if case[1:] == ("raw", True) or case[0] == "mlp":
            given = model(*case)
            C().write(given, folder / f"{given.identifier}.c")
    # One with knobs that has a state, and one that has none.
    for feedback in (True, False):
        encoder = Raw()
        loop = ClosedLoop(make("mlp", feedback=feedback), encoder, encoder, (Knob("drive_db", 0.0, 40.0, 10.0),))
        Lv2().write(Model(loop, RATE, f"knobs {feedback}"), folder / f"{feedback}.lv2")
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
    C().write(model("gru", "raw", True, "it"), tmp_path / "it.c")
    (tmp_path / "main.cpp").write_text(
        '#include "it.h"\nint main() { it_state s; float y = 1; it_init(&s); it_process(&s, &y, &y, 1); return 0; }'
    )
    subprocess.run(["cc", "-c", "it.c"], cwd=tmp_path, check=True)
    subprocess.run(["g++", *WARNED, "main.cpp", "it.o", "-lm"], cwd=tmp_path, check=True)
    subprocess.run([tmp_path / "a.out"], check=True)


def test_gates_are_one_sum_and_the_mixes_after_them_one_loop():
    _, text = source(Model(ClosedLoop(LSTM(1, 1, width=5), Raw(), Raw()), RATE))
    loop = text.partition("static void run")[2]
    assert loop.count(", 20, 5);") == 1 and loop.count("; i < 1 * 5; i++)") == 1
