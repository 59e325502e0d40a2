"""How runs begin: one a folder, from what is there; and what a full disk or a read-only folder is answered with."""

import errno
import os

import pytest
import torch
from helpers.commands import train
from torch import nn

from fxemu.errors import ConfigError, UserError
from fxemu.training.callbacks import WholeCheckpoints
from fxemu.training.module import TrainingModule
from fxemu.training.run_folder import checkpoint_to_resume, explain_failed_writes, locked, saved_config
from fxemu.training.schedule import Schedule

# Room for the first two checkpoints, and not for a third beside them before it takes the place of one.
CHECKPOINTS_KB = 1800


def one_line(error: str) -> str:
    """The only line that is not a warning of a library's."""
    (line,) = (line for line in error.splitlines() if line.startswith("error: "))
    assert "Traceback" not in error
    return line


def test_a_folder_is_one_runs_until_it_ends(tmp_path):
    with locked(tmp_path), pytest.raises(ConfigError, match="another run is writing there"), locked(tmp_path):
        pass
    with locked(tmp_path):
        assert os.listdir(tmp_path) == [".lock"]


def test_processes_that_others_started_must_be_told_their_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("fxemu.training.run_folder._named", lambda: False)
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(ConfigError, match=r"4 processes were started.*hydra\.run\.dir=outputs/NAME"), locked(tmp_path):
        pass


def test_a_checkpoint_is_written_beside_its_place(tmp_path, monkeypatch):
    path = tmp_path / "checkpoints" / "last.ckpt"
    WholeCheckpoints().save_checkpoint({"step": torch.tensor(1)}, path)
    assert checkpoint_to_resume(tmp_path) == path and os.listdir(path.parent) == ["last.ckpt"]

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError):
        WholeCheckpoints().save_checkpoint({"step": torch.tensor(2)}, path)
    assert torch.load(path, weights_only=True)["step"] == 1


def test_what_cannot_be_gone_on_with_is_named(tmp_path):
    assert checkpoint_to_resume(tmp_path) is None
    with pytest.raises(ConfigError, match="is not a run folder"):
        saved_config(tmp_path)
    (tmp_path / "config.yaml").write_text("seed: 0")
    with pytest.raises(ConfigError, match="nothing to resume from"):
        saved_config(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").write_bytes(b"PK half of it")
    with pytest.raises(ConfigError, match=r"last\.ckpt is damaged; delete it"):
        checkpoint_to_resume(tmp_path)
    (tmp_path / "config.yaml").write_text("seed: [")
    with pytest.raises(ConfigError, match=r"config\.yaml is damaged"):
        saved_config(tmp_path)


class Code:
    def __reduce__(self):
        return os.mkdir, ("run",)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"state_dict": Code()}, "UnpicklingError"),
        ([1], "it lacks state_dict"),
        ({"state_dict": {}, "replaced": [1]}, "what it calls replaced are no weights"),
        ({"state_dict": {}, "replaced": {"a": 1}}, "what it calls replaced are no weights"),
        ({"state_dict": {"a": torch.ones(1)}}, "it lacks callbacks, global_step, loops, optimizer_states"),
        (b"PK\3\4 no archive", "RuntimeError"),
        (b"", "EOFError"),
    ],
)
def test_a_checkpoint_of_another_program_is_named_and_not_run(tmp_path, monkeypatch, content, reason):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "last.ckpt"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(ConfigError, match=rf"last.ckpt is damaged, or no checkpoint of fxemu \({reason}\); delete it"):
        WholeCheckpoints().load_checkpoint(path)
    assert os.listdir(tmp_path) == ["last.ckpt"]


def test_a_checkpoint_of_another_model_is_one_line(make_loop):
    schedule = Schedule([{"share": 1, "length": 4, "free": False}])
    module, other = (TrainingModule(make_loop(width=width), nn.Identity(), schedule) for width in (4, 5))
    module.on_load_checkpoint({"state_dict": module.state_dict()})
    with pytest.raises(ConfigError, match=r"is of another model than in config\.yaml: size mismatch"):
        module.on_load_checkpoint({"state_dict": other.state_dict()})


def test_a_training_of_an_earlier_version_has_the_names_of_this_one(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    stages = "[{share: 0.5, deaf: 1.0}, {share: 0.5, own: 0.2, wrong: 0.1}]"
    training = f"training: {{stages: {stages}, gain_penalty: 0.0, gain_limit: 1.0}}"
    mulaw = "{_target_: fxemu.representations.MuLaw, mu: 255.0}"
    (tmp_path / "config.yaml").write_text(f"{training}\nrepr: {{input: {mulaw}, output: {mulaw}}}")
    config = saved_config(tmp_path)
    assert [side.plain for side in config.repr.values()] == [False, False]
    training = config.training
    first, second = training.stages
    assert list(training) == ["stages"]
    assert first == {"share": 0.5, "drop_history": 1.0}
    assert second == {"share": 0.5}


def test_a_failed_write_in_the_run_folder_says_how_to_go_on(tmp_path):
    with (
        pytest.raises(UserError, match=r"No space left on device\. Nothing is half written.*resume=FOLDER"),
        explain_failed_writes(tmp_path),
    ):
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "x"))


@pytest.mark.parametrize(
    "error", [OSError("Could not load this library"), OSError(errno.EACCES, "denied", "/elsewhere")]
)
def test_other_errors_of_the_system_promise_nothing(tmp_path, error):
    with pytest.raises(OSError, match=r"Could|denied"), explain_failed_writes(tmp_path):
        raise error


def test_a_folder_that_is_read_only(library, read_only):
    done = train(library, read_only / "run", "effect=tanh")
    assert done.returncode == 1
    assert one_line(done.stderr).startswith(f"error: {read_only / 'run'}: Read-only file system; choose a folder")


def test_a_full_disk_ends_a_run_that_the_same_command_goes_on_with(library, small_disk):
    folder = small_disk(CHECKPOINTS_KB) / "run"
    done = train(library, folder, "effect=tanh")
    assert done.returncode == 1 and "step      10" in done.stdout
    assert "No space left on device" in one_line(done.stderr)
    assert not (folder / "metrics.json").exists()
    assert checkpoint_to_resume(folder) is not None
    small_disk(50_000)
    done = train(library, folder, "effect=tanh")
    assert done.returncode == 0, done.stderr
    assert "resuming in" in done.stdout and (folder / "metrics.json").is_file()
