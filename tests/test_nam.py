""".nam files, read and written, against what the package neural-amp-modeler makes of them (see nam_reference/)."""

import json
import math
from pathlib import Path

import pytest
import torch
from nam_reference.export import MAKERS, model

from fxemu.effects import EffectError, Nam
from fxemu.engine.stream import render
from fxemu.export import ExportError, Model, export
from fxemu.export.nam import Nam as NamFormat
from fxemu.models import GRU, LSTM, WaveNet
from fxemu.nam import BLOCK, NamError, parse, read
from fxemu.representations import MuLaw, Raw
from fxemu.rollout import ClosedLoop

REFERENCES = [
    json.loads(path.read_text()) for path in sorted((Path(__file__).parent / "nam_reference").glob("reference-*.json"))
]
PLAYED = [(torch.tensor(ref["dry"]), name, found) for ref in REFERENCES for name, found in ref["models"].items()]
FILES = {name: found["file"] for _, name, found in PLAYED}


@pytest.mark.parametrize(
    ("dry", "name", "found"), PLAYED, ids=[f"{name}, {f['file']['version']}" for _, name, f in PLAYED]
)
def test_plays_a_file_as_neural_amp_modeler_does(dry, name, found):
    wet = torch.tensor(found["wet"])
    assert wet.std() > 1e-4
    assert (parse(found["file"]).play(dry) - wet).abs().max() < 1e-6


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
        (lambda: GRU(1, 1, feedback=False), Raw, "got GRU; train with model=lstm"),
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
        (changed("wavenet", architecture="ConvNet"), "architecture 'ConvNet'; can play WaveNet, LSTM"),
        (changed("wavenet", weights=[0.0] * 9), "9 weights, fewer than its config asks for"),
        (changed("lstm", weights=[0.0] * 999), "it has 999 weights"),
        (changed("lstm", weights=[math.nan] * 99), "not a list of finite numbers"),
        (changed("lstm", weights="secret"), "no .nam file that can be played"),
        (changed("lstm", hidden_size=10**6), "fewer than its config asks for"),
        (changed("lstm", hidden_size=1e99), "must be from 1 to"),
        (changed("lstm", hidden_size=-4), "got -4"),
        (changed("wavenet", channels="4"), "channels: got '4'; must be a whole number"),
        (changed("wavenet", dilations=[1, 2, 10**9]), "dilation: got 1000000000"),
        (changed("wavenet", activation="eval"), "activation eval; can play Tanh"),
        (changed("wavenet", condition_size=2), "condition_size must be 1"),
        (changed("wavenet", head1x1={"active": True}), "with head1x1"),
        ([], "no .nam file"),
        ({}, "it has no architecture"),
    ],
)
def test_a_bad_file_is_refused_in_one_line(content, reason, tmp_path):
    (tmp_path / "x.nam").write_text(json.dumps(content))
    with pytest.raises(NamError, match=reason) as error:
        read(tmp_path / "x.nam")
    assert "\n" not in str(error.value)


def test_the_effect_plays_at_the_rate_of_the_file_and_knows_its_memory(tmp_path):
    path = tmp_path / "x.nam"
    path.write_text(json.dumps(FILES["wavenet"]))
    effect, dry = Nam(str(path)), torch.rand(500) - 0.5
    assert torch.equal(effect(dry, 44_100), read(path).play(dry))
    assert effect.memory_s == pytest.approx(2 * 2 * (1 + 2 + 5) / 44_100)
    with pytest.raises(EffectError, match=r"captured at 44100 Hz.*data.sample_rate=44100"):
        effect(dry, 48_000)
    before = effect.identity()
    path.write_text(json.dumps(FILES["gated"]))
    assert Nam(str(path)).identity() != before
    for wrong in (None, str(tmp_path / "no.nam")):
        with pytest.raises(ValueError, match="path: "):
            Nam(wrong)


def test_a_long_file_is_played_in_blocks_without_a_seam():
    net, dry = parse(FILES["wavenet"]), torch.rand(BLOCK + 100, generator=torch.Generator().manual_seed(0)) - 0.5
    assert torch.allclose(net.play(dry)[-200:], net.play(dry[-400:])[-200:], atol=1e-6)
