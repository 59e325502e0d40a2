"""`fxemu export`: from a run folder to a checked file, and errors in one line."""

import json
import shutil

import pytest
import torch
from helpers.commands import forked
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from fxemu.audio.tensors import decode
from fxemu.cli import COMMANDS
from fxemu.cli.export import main
from fxemu.emulation import load
from fxemu.emulation.locate import read_model
from fxemu.engine.streaming.stream import render
from fxemu.models.files import save
from fxemu.runtimes import FORMATS
from fxemu.training.parts import build_parts
from fxemu.training.run_folder import CONF

# Formats that a recurrent network is not written to.
REFUSING: list[str] = []


def finished_run(folder, *options):
    """A finished run of a model without feedback, as training leaves it."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", ["model.feedback=false", "repr=raw", *options])
    loop = build_parts(config).loop
    loop.limit.fill_(0.9)
    folder.mkdir()
    save(loop, OmegaConf.to_container(config, resolve=True), folder)
    return folder


@pytest.fixture
def run(tmp_path):
    options = ["model=lstm", "model.width=4", "model.memory_samples=30"]
    return finished_run(tmp_path / "12-00-00-tanh-raw-lstm", *options)


@pytest.mark.parametrize("form", sorted(FORMATS.keys() - set(REFUSING)))
def test_a_run_becomes_a_file_of_every_format(run, form, capsys):
    if form in ("c", "lv2") and shutil.which("cc") is None:
        pytest.skip("there is no C compiler (cc)")
    if form == "onnx":
        pytest.importorskip("onnxruntime")
    main([str(run), "--format", form])
    path, found = capsys.readouterr().out.split("\n", 1)
    assert path.startswith(str(run / "export")) and path.endswith(FORMATS[form].suffix)
    assert "within" in found
    name = path.rsplit("/", 1)[1]
    stem = name.removesuffix(FORMATS[form].suffix)
    # What was exported is played by `fxemu render`, too: once it has settled, as the run is.
    dry = torch.rand(3000, generator=torch.Generator().manual_seed(0)) - 0.5
    assert (load(path)(dry, 44_100) - load(run)(dry, 44_100))[1000:].abs().max() < 1e-4
    beside = set() if FORMATS[form].holds_pair else {f"{stem}-check-dry.wav", f"{stem}-check-wet.wav"}
    beside |= {f"{stem}.h"} if form == "c" else set()
    assert {p.name for p in (run / "export").iterdir()} == {name} | beside


def test_what_the_weights_guarantee_is_told(run, tmp_path, capsys):
    certain = finished_run(tmp_path / "certain", "model=lru")
    for folder, promises in ((run, False), (certain, True)):
        main([str(folder), "--format", "torchscript"])
        assert ("its weights guarantee that any past is forgotten" in capsys.readouterr().out) == promises


def test_name_and_place_can_be_chosen(run, tmp_path, capsys):
    main([str(run), "--format", "nam", "--output", str(tmp_path / "new" / "amp.nam"), "--name", "Amp"])
    assert json.loads((tmp_path / "new" / "amp.nam").read_text())["metadata"]["name"] == "Amp"


def test_the_pair_beside_a_file_is_what_the_model_makes_of_it(run, tmp_path):
    main([str(run), "--format", "nam", "--output", str(tmp_path / "amp.nam")])
    dry, rate = decode(tmp_path / "amp-check-dry.wav")
    wet, _ = decode(tmp_path / "amp-check-wet.wav")
    assert rate == 44_100
    assert torch.allclose(render(read_model(run)[0], dry), wet, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--name", "!"], "name: got '!'; must have a letter or a digit in it"),
        (["--output", "/proc/no/x.nam"], "/proc/no"),
        (["--output", "amp"], "got amp to write; its name must end with .nam"),
    ],
)
def test_errors_are_one_line(run, arguments, message, capsys):
    with pytest.raises(SystemExit, match="1"):
        main([str(run), "--format", "nam", *arguments])
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and error.count("\n") == 1


def test_a_read_only_place_is_named_with_what_to_do(run, read_only, capsys):
    with pytest.raises(SystemExit, match="1"):
        main([str(run), "--format", "nam", "--output", str(read_only / "amp.nam")])
    line = (
        f"error: {read_only}/amp.nam: cannot be written (Read-only file system); choose another place with --output\n"
    )
    assert capsys.readouterr().err == line


@pytest.mark.parametrize("form", sorted(FORMATS.keys() - set(REFUSING)))
def test_a_full_disk_is_one_line_in_every_format(run, form, small_disk):
    if form == "lv2" and shutil.which("cc") is None:
        pytest.skip("there is no C compiler (cc)")
    if form == "onnx":
        pytest.importorskip("onnx")
    disk = small_disk(40)
    (disk / "fill").write_bytes(bytes(39_000))
    words = [str(run), "--format", form, "--output", str(disk / f"amp{FORMATS[form]().extension}")]
    ended = forked(lambda: main(words), disk.parent)
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1), ended.stderr
    assert "No space left" in ended.stderr and [path.name for path in disk.iterdir()] == ["fill"]


@pytest.mark.parametrize("name", ["AMP.NAM", "amp.Nam"])
def test_a_suffix_may_be_in_capitals(run, tmp_path, name):
    main([str(run), "--format", "nam", "--output", str(tmp_path / name)])
    dry = torch.rand(3000, generator=torch.Generator().manual_seed(0)) - 0.5
    assert (load(tmp_path / name)(dry, 44_100) - load(run)(dry, 44_100))[1000:].abs().max() < 1e-4
    stem = name[:3]
    assert {p.name for p in tmp_path.glob("*.wav")} == {f"{stem}-check-dry.wav", f"{stem}-check-wet.wav"}


def test_a_checkpoint_is_exported_to_where_it_is_said(run, tmp_path, capsys):
    checkpoint = [str(run / "checkpoints" / "best.ckpt"), "--format", "nam"]
    with pytest.raises(SystemExit, match="1"):
        main(checkpoint)
    assert "best.ckpt is no folder: say with --output where to write the export" in capsys.readouterr().err
    main([*checkpoint, "--output", str(tmp_path / "best.nam")])
    assert json.loads((tmp_path / "best.nam").read_text())["metadata"]["name"] == run.name


def test_exports_of_one_model_do_not_replace_each_other(run):
    for form in ("rtneural", "aidax", "proteus"):
        main([str(run), "--format", form])
    assert len([path for path in (run / "export").iterdir() if path.suffix == ".json"]) == 3


def test_a_folder_that_is_no_run_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit, match="1"):
        main([str(tmp_path), "--format", "c"])
    assert "has no model.safetensors" in capsys.readouterr().err
    assert COMMANDS["export"][0] == "fxemu.cli.export"


def test_a_folder_is_replaced_only_by_an_export_of_the_same_kind(run, tmp_path, capsys):
    pytest.importorskip("onnx")
    for form, name in (("onnx", "plugins"), ("nam", "plugins.nam")):
        plugins = tmp_path / name
        plugins.mkdir()
        (plugins / "other.txt").write_text("mine")
        with pytest.raises(SystemExit, match="1"):
            main([str(run), "--format", form, "--output", str(plugins)])
        assert "is a folder that is not replaced: " in capsys.readouterr().err
        assert [path.name for path in plugins.iterdir()] == ["other.txt"]
    for _ in range(2):
        main([str(run), "--format", "onnx", "--output", str(tmp_path / "amp")])
    assert "within" in capsys.readouterr().out
