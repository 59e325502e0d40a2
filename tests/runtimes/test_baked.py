"""A setting of a model with knobs, in every format: as the model itself with its knobs at that setting."""

import shutil

import pytest
import torch
from helpers.models import make

from fxemu.cli.export import main
from fxemu.emulation import Emulation, load
from fxemu.models.closed_loop import ClosedLoop
from fxemu.models.files import from_folder, parse, save
from fxemu.models.knobs import Knob
from fxemu.representations import Raw
from fxemu.runtimes import FORMATS, Model, export

RATE = 44_100
KNOBS = Knob("drive_db", 0.0, 40.0, 10.0), Knob("lowpass_hz", 500.0, 8000.0, 2000.0)
AT = torch.tensor([0.7, -0.4])
needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
CASES = [
    ("nam", "wavenet"),
    ("nam", "lstm"),
    ("proteus", "lstm"),
    ("aidax", "gru"),
    ("rtneural", "mlp"),
    ("rtneural", "convnet"),
    ("rtneural", "linear"),
    ("onnx", "gru"),
    ("torchscript", "mlp"),
    ("onnx", "dynamics"),
    ("torchscript", "dynamics"),
    pytest.param("c", "gru", marks=needs_compiler),
    pytest.param("c", "dynamics", marks=needs_compiler),
    pytest.param("lv2", "dynamics", marks=needs_compiler),
]


def loop(name: str, feedback: bool = False) -> ClosedLoop:
    made = ClosedLoop(make(name, feedback=feedback), Raw(), Raw(), KNOBS)
    if name == "dynamics":
        torch.nn.init.normal_(made.turning.moves, std=0.3)
        torch.nn.init.uniform_(made.turning.centres, -1, 1)
    else:
        torch.nn.init.normal_(made.turning.gain, std=0.5)
    made.gain.fill_(0.5)
    return made


@pytest.mark.parametrize(("form", "name"), CASES)
def test_the_file_plays_as_the_model_at_the_setting(form: str, name: str, tmp_path):
    if form == "onnx":
        pytest.importorskip("onnx")
        pytest.importorskip("onnxruntime")
    given = loop(name, feedback=form in ("c", "lv2", "onnx", "torchscript"))
    format_ = FORMATS[form]()
    baked = given.at(AT)
    assert name == "dynamics" or baked.dry_gain != 1
    assert "within" in export(Model(baked, RATE), format_, tmp_path / f"x{format_.suffix}")


def test_the_command_exports_a_setting_and_what_it_carries_is_that(tmp_path, capsys):
    given, run = loop("gru", feedback=True), tmp_path / "run"
    run.mkdir()
    model = {"_target_": "fxemu.models.GRU", "width": 5, "memory_samples": 40}
    raw = {"_target_": "fxemu.representations.Raw"}
    save(given, {"data": {"sample_rate": RATE}, "model": model, "repr": {"input": raw, "output": raw}}, run)
    for wrong, why in (
        ([], "such as --knob drive_db=10"),
        (["--knob", "drive_db=50"], "from 0 to 40 dB"),
        (["--knob", "drive_db=0:1,1:2"], "stand still"),
    ):
        with pytest.raises(SystemExit):
            main([str(run), "--format", "nam", *wrong])
        assert why in capsys.readouterr().err
    main([str(run), "--format", "torchscript", "--knob", "drive_db=30", "--output", str(tmp_path / "x.pt")])
    exported = load(tmp_path / "x.pt")
    assert exported.knobs == ()
    dry = torch.rand(500, generator=torch.Generator().manual_seed(0)) - 0.5
    assert torch.equal(exported(dry, RATE), Emulation(parse(from_folder(run), "run")[0], RATE)(dry, RATE, drive_db=30))
