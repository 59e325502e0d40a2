"""Files of Neural Amp Modeler, against what it played itself (see nam_reference/), and against PyTorch."""

import json
import math
from pathlib import Path

import pytest
import torch
from nam_reference.export import MAKERS, model
from torch import nn

from fxemu.effects import EffectError, Nam
from fxemu.emulation import load
from fxemu.engine.streaming.stream import render
from fxemu.models import GRU, LSTM, Linear, WaveNet
from fxemu.models.closed_loop import ClosedLoop
from fxemu.representations import MuLaw, Raw
from fxemu.runtimes import ExportError, Model, export
from fxemu.runtimes.nam import ACTIVATIONS, parse
from fxemu.runtimes.nam import Nam as NamFormat
from fxemu.runtimes.reading import ForeignError, read

REFERENCES = [
    json.loads(path.read_text())
    for path in sorted((Path(__file__).parent.parent / "nam_reference").glob("reference-*.json"))
]


PLAYED = [(torch.tensor(ref["dry"]), name, found) for ref in REFERENCES for name, found in ref["models"].items()]


FILES = {name: found["file"] for _, name, found in PLAYED}


@pytest.mark.parametrize(
    ("dry", "name", "found"), PLAYED, ids=[f"{name}, {f['file']['version']}" for _, name, f in PLAYED]
)
def test_plays_a_file_as_neural_amp_modeler_does(dry, name, found):
    wet = torch.tensor(found["wet"])
    assert wet.std() > 1e-4
    assert (render(parse(found["file"]), dry) - wet).abs().max() < 1e-6


@pytest.mark.parametrize("name", MAKERS)
def test_neural_amp_modeler_plays_an_exported_file_as_the_renderer_does(name, tmp_path):
    dry, _, found = next(played for played in PLAYED if played[1] == name)
    given = model(name)
    assert (render(given.loop, dry) - torch.tensor(found["wet"])).abs().max() < 1e-5
    # What it played is what is written today.
    export(given, NamFormat(), tmp_path / "x.nam")
    written = json.loads((tmp_path / "x.nam").read_text())
    assert written["config"] == found["file"]["config"]
    assert torch.allclose(torch.tensor(written["weights"]), torch.tensor(found["file"]["weights"]), atol=1e-6)


def test_a_file_says_who_made_it_of_what_and_how_loud_it_is(tmp_path):
    straight = Linear(1, 1, 4, feedback=False)
    straight.dry.weight.data.copy_(torch.tensor([[[0.0, 0.0, 0.0, 0.5]]]))
    straight.dry.bias.data.zero_()
    about = {"modeled_by": "Jo", "gear_type": "pedal", "gear_make": "Ibanez", "input_level_dbu": "12.5"}
    given = Model(ClosedLoop(straight, Raw(), Raw()), 48_000, "A box", about=about)
    export(given, NamFormat(), tmp_path / "x.nam")
    found = json.loads((tmp_path / "x.nam").read_text())
    assert found["sample_rate"] == 48_000
    said = found["metadata"]
    assert said.items() >= {**about, "input_level_dbu": 12.5, "name": "A box", "tone_type": None}.items()
    # Half of noise of -15 dB; what is in proportion to its input has a gain of none.
    assert said["loudness"] == pytest.approx(-15 - 6.02, abs=0.01) and said["gain"] == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize(
    ("about", "reason"),
    [
        ({"gear": "amp"}, "no such field; choose from modeled_by"),
        ({"tone_type": "loud"}, "got 'loud'; choose from clean"),
        ({"output_level_dbu": "high"}, "must be a number of dBu"),
    ],
)
def test_fields_that_no_reader_knows_are_refused(about, reason, tmp_path):
    given = Model(ClosedLoop(Linear(1, 1, 4, feedback=False), Raw(), Raw()), 48_000, about=about)
    with pytest.raises(ExportError, match=reason):
        export(given, NamFormat(), tmp_path / "x.nam")


def test_known_numbers_of_weights(tmp_path):
    def weights(predictor):
        export(Model(ClosedLoop(predictor, Raw(), Raw()), 48_000), NamFormat(), tmp_path / "x.nam")
        return len(json.loads((tmp_path / "x.nam").read_text())["weights"])

    assert weights(LSTM(1, 1, width=3, memory_samples=9, dry_skip=False, feedback=False)) == 70
    # The standard net of Neural Amp Modeler has 13802; ours has a bias of 8 in the first head besides.
    assert weights(WaveNet(1, 1, 16, dilations=[2**k for k in range(10)], feedback=False)) == 13802 + 8


@pytest.mark.parametrize(
    ("predictor", "representation", "reason"),
    [
        (lambda: LSTM(1, 1), Raw, "train it with model.feedback=false"),
        (lambda: LSTM(1, 1, feedback=False), MuLaw, "train with repr=raw"),
        (lambda: GRU(1, 1, feedback=False), Raw, "got GRU; train with model=wavenet or"),
    ],
)
def test_what_cannot_be_played_is_refused_with_what_to_do(predictor, representation, reason, tmp_path):
    with pytest.raises(ExportError, match=reason):
        export(Model(ClosedLoop(predictor(), representation(), Raw()), 44_100), NamFormat(), tmp_path / "x.nam")
    assert not list(tmp_path.iterdir())


def changed(name: str, **config: object) -> dict:
    """A file with something else in it; `weights` and the like, or of its first array or config."""
    content = json.loads(json.dumps(FILES[name]))
    for key, value in config.items():
        place = content if key in content else content["config"].get("layers", [content["config"]])[0]
        place[key] = value
    return content


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (changed("wavenet", architecture="Container"), "architecture 'Container'; can play WaveNet, LSTM"),
        (changed("wavenet", weights=[0.0] * 9), "9 weights, fewer than its config asks for"),
        (changed("lstm", weights=[0.0] * 999), "it has 999 weights"),
        (changed("lstm", weights=[math.nan] * 99), "not finite numbers"),
        (changed("lstm", weights="secret"), "no model that can be played"),
        (changed("lstm", hidden_size=10**6), "fewer than its config asks for"),
        (changed("lstm", hidden_size=1e99), "must be from 1 to"),
        (changed("lstm", hidden_size=-4), "got -4"),
        (changed("wavenet", channels="4"), "channels: got '4'; must be a whole number"),
        (changed("wavenet", dilations=[1, 2, 10**9]), "dilation: got 1000000000"),
        (changed("wavenet", activation="eval"), "activation 'eval'; can play identity, tanh"),
        (changed("wavenet", condition_size=2), "condition_size must be 1"),
        (changed("wavenet", head1x1={"active": True}), "with head1x1"),
        (changed("wavenet", dilations=[2**19] * 3), "looks back to [0-9]+ samples"),
        (changed("wavenet", sample_rate=12), "sample_rate: got 12"),
        ([], "it is no JSON object"),
        ({}, "neither a .nam file nor JSON of RTNeural"),
        ({"architecture": "LSTM"}, "it has no weights"),
    ],
)
def test_a_bad_file_is_refused_in_one_line(content, reason, tmp_path):
    (tmp_path / "x.nam").write_text(json.dumps(content))
    with pytest.raises(ForeignError, match=reason) as error:
        read(tmp_path / "x.nam")
    assert "\n" not in str(error.value)


def test_the_effect_plays_at_the_rate_of_the_file_and_knows_its_memory(tmp_path):
    path = tmp_path / "x.nam"
    path.write_text(json.dumps(FILES["wavenet"]))
    effect, dry = Nam(str(path)), torch.rand(500) - 0.5
    assert torch.equal(effect(dry, 44_100), render(read(path), dry))
    assert effect.memory_s == pytest.approx(2 * 2 * (1 + 2 + 5) / 44_100)
    with pytest.raises(EffectError, match=r"captured at 44100 Hz.*data.sample_rate=44100"):
        effect(dry, 48_000)
    before = effect.identity()
    path.write_text(json.dumps(FILES["gated"]))
    assert Nam(str(path)).identity() != before
    for wrong in (None, str(tmp_path / "no.nam")):
        with pytest.raises(ValueError, match="path: "):
            Nam(wrong)


def noise(samples: int) -> torch.Tensor:
    return torch.rand(samples, generator=torch.Generator().manual_seed(1)) - 0.5


CURVES = {
    "LeakyReLU": nn.functional.leaky_relu,
    "SiLU": nn.functional.silu,
    "Hardswish": nn.functional.hardswish,
    "Hardtanh": nn.functional.hardtanh,
    "Fasttanh": torch.tanh,
    "Softsign": nn.functional.softsign,
}


@pytest.mark.parametrize("batchnorm", [False, True])
@pytest.mark.parametrize("activation", CURVES)
def test_a_convnet_of_nam(activation, batchnorm):
    torch.manual_seed(0)
    convs = [nn.Conv1d(1, 3, 2, dilation=1, bias=not batchnorm), nn.Conv1d(3, 3, 2, dilation=4, bias=not batchnorm)]
    norms, head, dry = [nn.BatchNorm1d(3).eval(), nn.BatchNorm1d(3).eval()], nn.Conv1d(3, 1, 1), 8 * noise(200)
    weights, x = [], nn.functional.pad(dry[None, None], (5, 0))
    with torch.no_grad():
        for conv, norm in zip(convs, norms, strict=True):
            for tensor in (norm.running_mean, norm.running_var, norm.weight, norm.bias):
                tensor.uniform_(0.5, 2)
            x = CURVES[activation](norm(conv(x)) if batchnorm else conv(x))
            weights += list(conv.parameters())
            weights += [
                norm.running_mean,
                norm.running_var,
                norm.weight,
                norm.bias,
                torch.tensor([norm.eps]),
            ] * batchnorm
        expected, weights = head(x)[0, 0], [*weights, *head.parameters()]
    config = {"channels": 3, "dilations": [1, 4], "batchnorm": batchnorm, "activation": activation}
    flat = torch.cat([w.detach().flatten() for w in weights]).tolist()
    model = parse({"architecture": "ConvNet", "config": config, "weights": flat})
    assert model.warm_up == 5 and torch.allclose(render(model, dry), expected, atol=1e-5)


def test_a_batch_normalisation_that_divides_by_zero_is_refused():
    config = {"channels": 1, "dilations": [1], "batchnorm": True, "activation": "Tanh"}
    # A kernel of two, then mean, variance, scale, shift and epsilon, then the head.
    weights = [1.0, 1.0, 0.0, -1.0, 1.0, 0.0, 1e-5, 1.0, 0.0]
    with pytest.raises(ValueError, match="its batch normalisation divides by zero, or by the root of less"):
        parse({"architecture": "ConvNet", "config": config, "weights": weights})


@pytest.mark.parametrize("text", ["[" * 100_000, "\x00", "no JSON", '{"layers": 1' + "0" * 5000 + "}"])
def test_what_is_no_json_is_one_line(text, tmp_path):
    (tmp_path / "x.nam").write_text(text)
    with pytest.raises(ForeignError, match="no model that can be played") as error:
        load(tmp_path / "x.nam")
    assert "\n" not in str(error.value)


def test_a_foreign_model_is_an_emulation_and_a_stream(tmp_path):
    (tmp_path / "x.nam").write_text(json.dumps(FILES["own lstm"]))
    emulation, dry = load(tmp_path / "x.nam"), noise(20_000)
    whole = emulation(dry, emulation.sample_rate)
    stream = emulation.stream()
    parts = [stream.process(part) for part in dry.split(64)[:100]]
    assert torch.equal(torch.cat(parts), whole[:6400])
    kept = stream.state()
    expected = stream.process(dry[6400:7000])
    other = emulation.stream()
    other.restore(kept)
    assert torch.equal(other.process(dry[6400:7000]), expected)


def test_an_activation_that_the_format_lacks_is_refused(monkeypatch, tmp_path):
    monkeypatch.delitem(ACTIVATIONS, "tanh")
    with pytest.raises(ExportError, match="has no activation 'tanh'; train with one of relu, sigmoid, softsign"):
        NamFormat().write(model("convnet"), tmp_path / "x.nam")
