"""The model in an exported file is read back exactly and without running it; a hostile file is a one-line error."""

import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch

from fxemu.emulation.locate import read_files, read_model
from fxemu.models.files import DESCRIPTION, WEIGHTS, WeightsError, save
from fxemu.runtimes import Model, export
from fxemu.runtimes.c import C
from fxemu.runtimes.packing import as_comment
from fxemu.runtimes.torchscript import TorchScript

RAW = {"_target_": "fxemu.representations.Raw"}
LINEAR = {"_target_": "fxemu.models.Linear", "context_window": 32, "feedback_window": 16}


@pytest.fixture
def model(tmp_path, make_loop) -> Model:
    loop = make_loop(model="linear")
    save(loop, {"data": {"sample_rate": 8000}, "model": LINEAR, "repr": {"input": RAW, "output": RAW}}, tmp_path)
    return Model(loop, 8000, "it", read_files(tmp_path))


@pytest.mark.parametrize("form", [C(), TorchScript()], ids=["c", "torchscript"])
def test_a_file_carries_its_model(model, tmp_path, form):
    export(model, form, tmp_path / f"it{form.suffix}")
    assert read_files(tmp_path / f"it{form.suffix}") == model.files
    loop, rate = read_model(tmp_path / f"it{form.suffix}")
    assert rate == 8000 and torch.equal(loop.predictor.dry.weight, model.loop.predictor.dry.weight)


@pytest.mark.parametrize("name", ["best", "last"])
def test_a_checkpoint_is_read_from_the_plain_data_beside_it(model, tmp_path, name):
    checkpoints = tmp_path / "checkpoints"
    (checkpoints / "last").mkdir(parents=True)
    folder = tmp_path if name == "best" else checkpoints / "last"
    for file, content in model.files.items():
        (folder / file).write_bytes(content)
    # The checkpoint itself is not even opened.
    assert read_files(checkpoints / f"{name}.ckpt") == model.files


class Payload:
    def __reduce__(self):
        return os.system, ("touch ran",)


def zipped(path: Path, method: int = zipfile.ZIP_STORED, **content: bytes) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in content.items():
            archive.writestr(name.replace("__", "/").replace("_dot_", "."), data)


BOMB = {f"x__extra__{name.replace('.', '_dot_')}": bytes(size) for name, size in ((DESCRIPTION, 20_000), (WEIGHTS, 9))}
HOSTILE = {
    "any program": ("x.c", lambda p: p.write_text("int main(void) { return 0; }\n"), "holds no model of fxemu"),
    "half of it": ("x.c", lambda p: p.write_text(as_comment({WEIGHTS: b"9" * 99})), "holds no model of fxemu"),
    "other data": ("x.c", lambda p: p.write_text(as_comment({WEIGHTS: b"9" * 99, DESCRIPTION: b"9"})), "broken"),
    "a large description": (
        "x.c",
        lambda p: p.write_text(as_comment({WEIGHTS: b"9" * 99, DESCRIPTION: b"9" * 20_000})),
        "larger than 16000 bytes",
    ),
    "bad base64": ("x.c", lambda p: p.write_text(f"{WEIGHTS}\nA\n\n{DESCRIPTION}\nA\n\n"), "broken"),
    "a large program": ("x.c", lambda p: (p.touch(), os.truncate(p, 10**11)), "larger than"),
    "a pickle": ("x.pt", lambda p: p.write_bytes(pickle.dumps(Payload())), "broken: File is not a zip file"),
    "a checkpoint": ("x.pt", lambda p: torch.save(Payload(), p), "holds no model of fxemu"),
    "a large archive": ("x.pt", lambda p: zipped(p, **BOMB), "larger than 16000 bytes"),
    "a bomb": ("x.pt", lambda p: zipped(p, zipfile.ZIP_DEFLATED, **BOMB), "in it is compressed"),
    "a pickle by another name": (
        "x.ckpt",
        lambda p: p.write_bytes(pickle.dumps(Payload())),
        "x.ckpt: is no checkpoint of a run",
    ),
    "a song": ("x.wav", lambda p: p.write_bytes(b"RIFF"), "is no run of ours"),
}


@pytest.mark.parametrize(("name", "make", "message"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_a_one_line_error(tmp_path, monkeypatch, name, make, message):
    monkeypatch.chdir(tmp_path)
    make(tmp_path / name)
    with pytest.raises(WeightsError, match=message) as caught:
        read_model(tmp_path / name)
    assert "\n" not in str(caught.value) and not (tmp_path / "ran").exists()
