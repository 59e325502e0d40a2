"""RTNeural, AIDA-X and Proteus files: as the renderer when read as those runtimes do, else refused with a reason."""

import json

import pytest
import torch

from fxemu.engine.streaming.stream import Stream
from fxemu.models import GRU, LSTM, MLP, ConvNet, Linear, WaveNet
from fxemu.models.closed_loop import ClosedLoop
from fxemu.models.knobs import Knob
from fxemu.representations import MuLaw, Raw
from fxemu.runtimes import FORMATS, ExportError, Model, export
from fxemu.runtimes.rtneural import parse
from fxemu.runtimes.without_feedback import cell_with_dry, plain_predictor

RECURRENT = {"width": 6, "memory_samples": 60, "feedback": False}
WINDOW = {"context_window": 12, "feedback_window": 11, "width": 5, "feedback": False}


KNOBS = Knob("drive_db", 0.0, 40.0, 10.0), Knob("lowpass_hz", 500.0, 8000.0, 2000.0)


def model(predictor, representation=Raw, rate=44_100, knobs=(), conditioning="inputs") -> Model:
    conditioning = conditioning if knobs else "scales"
    return Model(ClosedLoop(predictor, representation(), representation(), knobs, conditioning), rate)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize(
    ("form", "make"),
    [
        ("rtneural", lambda: LSTM(1, 1, **RECURRENT)),
        ("rtneural", lambda: GRU(1, 1, **RECURRENT)),
        ("rtneural", lambda: LSTM(1, 1, **RECURRENT, dry_skip=False)),
        ("rtneural", lambda: MLP(1, 1, **WINDOW, layers=3, dry_skip=4)),
        ("rtneural", lambda: MLP(1, 1, **WINDOW, dry_skip=0, activation="relu")),
        ("rtneural", lambda: ConvNet(1, 1, 4, 3, dilations=[1, 4], feedback=False)),
        ("rtneural", lambda: Linear(1, 1, 40, feedback=False)),
        ("aidax", lambda: LSTM(1, 1, **RECURRENT)),
        ("aidax", lambda: GRU(1, 1, **RECURRENT)),
        ("proteus", lambda: LSTM(1, 1, **RECURRENT)),
        ("proteus", lambda: LSTM(1, 1, **RECURRENT, dry_skip=False)),
    ],
)
def test_the_file_plays_as_the_renderer(form, make, tmp_path):
    given = model(make())
    assert given.reference_pair()[1].std() > 1e-3
    assert "within" in export(given, FORMATS[form](), tmp_path / "x.json")
    # And the comparison would have seen a wrong weight.
    with torch.no_grad():
        (*_, bias) = (p for name, p in given.loop.predictor.named_parameters() if name in ("out.bias", "dry.bias"))
        bias += 1e-3
    with pytest.raises(ExportError, match="away from the model"):
        FORMATS[form]().check(given, tmp_path / "x.json")


@pytest.mark.parametrize("knobs", [KNOBS, KNOBS[:1]])
@pytest.mark.parametrize(
    ("form", "make"),
    [
        ("rtneural", lambda: GRU(1, 1, **RECURRENT)),
        ("rtneural", lambda: MLP(1, 1, **WINDOW, layers=3, dry_skip=4)),
        ("rtneural", lambda: ConvNet(1, 1, 4, 3, dilations=[1, 4], feedback=False)),
        ("aidax", lambda: LSTM(1, 1, **RECURRENT)),
        ("aidax", lambda: GRU(1, 1, **RECURRENT)),
    ],
)
def test_knobs_are_inputs_from_0_to_1(form, make, knobs, tmp_path):
    given = model(make(), knobs=knobs)
    torch.nn.init.normal_(given.loop.turning.weight)
    given.loop.gain.fill_(0.5)
    assert "drive_db 0 to 40 dB" in export(given, FORMATS[form](), tmp_path / "x.json")
    content = json.loads((tmp_path / "x.json").read_text())
    assert content["in_shape"] == [None, None, 1 + len(knobs)] and "input_batch" not in content
    # And the comparison would have seen a knob that turns the wrong way.
    given.loop.turning.weight.data.neg_()
    with pytest.raises(ExportError, match="away from the model"):
        FORMATS[form]().check(given, tmp_path / "x.json")


@pytest.mark.parametrize("gain", [1 / 32, 8.0])
@pytest.mark.parametrize(
    ("form", "make"),
    [
        ("rtneural", lambda: MLP(1, 1, **WINDOW)),
        ("rtneural", lambda: ConvNet(1, 1, 4, 3, dilations=[1, 4], feedback=False)),
        ("rtneural", lambda: Linear(1, 1, 40, feedback=False)),
        ("aidax", lambda: GRU(1, 1, **RECURRENT)),
        ("proteus", lambda: LSTM(1, 1, **RECURRENT)),
        ("nam", lambda: WaveNet(1, 1, width=4, dilations=[1, 2], feedback=False)),
        ("nam", lambda: LSTM(1, 1, **RECURRENT)),
    ],
)
def test_a_wet_gain_is_in_the_file(form, make, gain, tmp_path):
    given = model(make())
    given.loop.gain.fill_(gain)
    given.loop.limit.fill_(1.2 * gain)
    plain_predictor(given, "a program")  # with gradients on, as a format of somebody else's may
    before = {name: tensor.clone() for name, tensor in given.loop.state_dict().items()}
    export(given, FORMATS[form](), tmp_path / f"x{FORMATS[form].suffix}")
    assert all(torch.equal(tensor, before[name]) for name, tensor in given.loop.state_dict().items())


def test_layout_of_rtneural_weights(tmp_path):
    net = GRU(1, 1, width=4, memory_samples=20, dry_skip=False, feedback=False)
    export(model(net), FORMATS["rtneural"](), tmp_path / "x.json")
    content = json.loads((tmp_path / "x.json").read_text())
    gru, dense = content["layers"]
    assert content["in_shape"] == [None, None, 1] and gru["shape"] == [None, None, 4]
    given, own, bias = map(torch.tensor, gru["weights"])
    assert (given.shape, own.shape, bias.shape) == ((1, 12), (4, 12), (2, 12))
    # z, r, n here, r, z, n in PyTorch.
    assert torch.equal(given[0, :4], net.recurrent.weight_ih_l0[4:8, 0])
    assert torch.equal(bias[1, 4:8], net.recurrent.bias_hh_l0[:4])
    assert torch.tensor(dense["weights"][0]).shape == (4, 1)


def test_aidax_pads_to_a_size_it_knows_and_carries_its_own_check(tmp_path):
    export(model(LSTM(1, 1, **RECURRENT | {"width": 12}), rate=48_000), FORMATS["aidax"](), tmp_path / "x.json")
    content = json.loads((tmp_path / "x.json").read_text())
    assert content["layers"][0]["shape"][-1] == 16 and content["in_skip"] == 0
    assert content["metadata"]["samplerate"] == "48000"
    dry, wet = (torch.tensor(content[f"{side}_batch"]) for side in ("input", "output"))
    assert len(dry) == len(wet) == 2048
    # From its first moment, before it has settled.
    assert torch.allclose(Stream(parse(content), *torch.zeros(2, 0)).process(dry), wet, atol=1e-6)


@pytest.mark.parametrize("family", [LSTM, GRU])
@pytest.mark.parametrize("gain", [0.7, -2.0])
def test_dry_gain_in_a_unit_is_a_straight_line(family, gain):
    net = family(1, 1, width=1, memory_samples=9, feedback=False).requires_grad_(False)
    net.out.weight.zero_(), net.out.bias.zero_(), net.skip.weight.fill_(gain)
    cell = cell_with_dry(net, 3)
    bigger = family(1, 1, width=3, memory_samples=9, dry_skip=False, feedback=False).requires_grad_(False)
    for name, value in (("weight_ih", cell.input), ("weight_hh", cell.hidden), ("bias_ih", cell.input_bias)):
        getattr(bigger.recurrent, f"{name}_l0").copy_(value)
    bigger.recurrent.bias_hh_l0.copy_(cell.hidden_bias)
    bigger.out.weight.copy_(cell.head[None]), bigger.out.bias.copy_(cell.head_bias)
    dry = torch.linspace(-1, 1, 200)[None, None]
    assert torch.allclose(bigger(dry, dry)[0, 0], gain * dry[0, 0, 9:], atol=1e-5)


@pytest.mark.parametrize(
    ("form", "make", "reason"),
    [
        ("rtneural", lambda: model(LSTM(1, 1)), "model.feedback=false"),
        ("aidax", lambda: model(GRU(1, 1)), "model.feedback=false"),
        ("proteus", lambda: model(LSTM(1, 1, **RECURRENT), MuLaw), "repr=raw"),
        ("rtneural", lambda: model(WaveNet(1, 1, feedback=False)), "got WaveNet; train with"),
        ("rtneural", lambda: model(MLP(1, 1, **WINDOW, activation="softsign")), "model.activation=tanh"),
        ("rtneural", lambda: model(MLP(1, 1, **WINDOW, activation="relu")), "model.dry_skip=0"),
        ("rtneural", lambda: model(ConvNet(1, 1, activation="softsign", feedback=False)), "model.activation=tanh"),
        ("aidax", lambda: model(Linear(1, 1, feedback=False)), "model=lstm or model=gru"),
        ("aidax", lambda: model(GRU(1, 1, **RECURRENT), knobs=KNOBS, conditioning="scales"), "conditioning=inputs"),
        ("rtneural", lambda: model(GRU(1, 1, **RECURRENT), knobs=(*KNOBS, Knob("a", 0, 1, 0))), "knows 2 knobs"),
        ("proteus", lambda: model(LSTM(1, 1, **RECURRENT), knobs=KNOBS), "such as --knob drive_db=10"),
        ("proteus", lambda: model(ConvNet(1, 1, feedback=False)), "model=lstm"),
        ("nam", lambda: model(ConvNet(1, 1, kernel=3, feedback=False)), "model.kernel=2"),
        ("nam", lambda: model(Linear(1, 1)), "model.feedback=false"),
        ("aidax", lambda: model(MLP(1, 1, **WINDOW)), "model=lstm or model=gru"),
        ("aidax", lambda: model(LSTM(1, 1, **RECURRENT | {"width": 80})), "model.width=79"),
        ("rtneural", lambda: model(GRU(1, 1, **RECURRENT, filter_taps=8)), "model.filter_taps=0"),
        ("nam", lambda: model(LSTM(1, 1, **RECURRENT, filter_taps=8)), "model.filter_taps=0"),
        ("proteus", lambda: model(GRU(1, 1, **RECURRENT)), "model=lstm"),
        ("proteus", lambda: model(LSTM(1, 1, **RECURRENT | {"width": 40})), "model.width=39"),
        ("proteus", lambda: model(LSTM(1, 1, **RECURRENT), rate=48_000), "data.sample_rate=44100"),
    ],
)
def test_what_a_runtime_cannot_play_is_refused_with_what_to_do(form, make, reason, tmp_path):
    with pytest.raises(ExportError, match=reason):
        export(make(), FORMATS[form](), tmp_path / f"x{FORMATS[form].suffix}")
    assert not list(tmp_path.iterdir())
