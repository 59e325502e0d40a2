"""How a run starts, is refused and is ended: its folder, the command's folder, and the line that continues it."""

import logging
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from fxemu.cli.errors import one_line_errors
from fxemu.cli.train import main
from fxemu.effects import Python
from fxemu.errors import ConfigError, Terminated
from fxemu.training.callbacks import EndSweep, StopOnInterrupt
from fxemu.training.run_folder import locked
from fxemu.training.signals import ENDS


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch) -> Path:
    """An empty folder to give commands in, and the process as it was afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    handlers, level = [*logging.root.handlers], logging.root.level
    signals = {number: signal.getsignal(number) for number in ENDS}
    yield tmp_path
    logging.root.handlers[:], logging.root.level = handlers, level
    for number, handler in signals.items():
        signal.signal(number, handler)


@pytest.fixture
def start(monkeypatch):
    """Gives a command whose runs are not trained: `run(config, folder)` stands for that."""

    def give(run, *words: str) -> None:
        monkeypatch.setattr("fxemu.training.run.run", run)
        monkeypatch.setattr(sys, "argv", ["train.py", *words])
        main()

    return give


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_starts_in_the_same_second_have_folders_of_their_own(start, place):
    used = []

    def run(config, folder):
        used.append(folder.relative_to(place).as_posix())
        (folder / "config.yaml").touch()
        return 0.0

    for name in ("at%S", "at%S-2", "sweep%S", "named"):
        (place / name).mkdir()
    start(run, "hydra.run.dir=at%S")
    start(run, "-m", "seed=1", "hydra.sweep.dir=sweep%S", "hydra.sweep.subdir=${seed}")
    # A folder that was named is that of a run to continue.
    start(run, "hydra.run.dir=named")
    assert used == ["at%S-3", "sweep%S-2/1", "named"]


def test_a_refused_start_leaves_no_folder_behind(start, place):
    def refused(config, folder):
        logging.getLogger("any").info("a line for train.log")
        with locked(folder):
            raise ConfigError("data.library: no")

    with pytest.raises(SystemExit) as ended:
        start(refused, "hydra.run.dir=a/run")
    assert ended.value.code == 1 and names(place) == ["a"]


def test_a_refused_start_changes_nothing_in_the_folder_of_another(monkeypatch, place, capsys):
    folder = place / "run"
    with_record = folder / ".hydra" / "overrides.yaml"
    with_record.parent.mkdir(parents=True)
    with_record.write_text("- the other's\n")
    monkeypatch.setattr(sys, "argv", ["train.py", "hydra.run.dir=run", "seed=1"])
    with locked(folder), pytest.raises(SystemExit):
        main()
    assert "another run is writing there" in capsys.readouterr().err
    assert names(folder) == [".hydra", ".hydra/overrides.yaml", ".lock"]
    assert with_record.read_text() == "- the other's\n"


def test_a_module_is_imported_from_where_the_command_was_given(start, place):
    (place / "effects_here.py").write_text("def half(dry): return dry / 2\n")
    halves = []

    def run(config, folder):
        assert Path.cwd() == folder
        halves.append(Python("effects_here.half")(torch.ones(2)))
        return 0.0

    start(run, "hydra.job.chdir=true", "hydra.run.dir=run")
    assert torch.equal(halves[0], torch.full((2,), 0.5))


def test_a_program_is_found_from_where_the_command_was_given(monkeypatch, place):
    (place / "tools").mkdir()
    (place / "tools" / "fuzz").touch()
    begun = []
    monkeypatch.setattr("fxemu.training.run.train", lambda config, *_: begun.append(config) or 0.0)
    words = ["effect=command", "effect.command=[./tools/fuzz,'{dry}','{wet}',a/b]"]
    for more in ([], ["hydra.job.chdir=true"]):
        monkeypatch.setattr(sys, "argv", ["train.py", *words, *more, f"hydra.run.dir=run{len(more)}"])
        main()
    given, elsewhere = (list(config.effect.command) for config in begun)
    assert given == ["./tools/fuzz", "{dry}", "{wet}", "a/b"]
    assert elsewhere == [str(place / "tools" / "fuzz"), *given[1:]]


def earlier_run(folder: Path, config: str) -> None:
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.yaml").write_text(config)
    zipfile.ZipFile(folder / "checkpoints" / "last.ckpt", "w").close()


def test_a_run_is_resumed_with_its_files_where_they_are_now(monkeypatch, place):
    earlier_run(place / "run", "data: {library: /old, cache: null}\neffect: {dry: /old/d, wet: /old/w}\nseed: 7\n")
    begun = []
    monkeypatch.setattr("fxemu.training.run.train", lambda config, *_: begun.append(config) or 0.0)
    words = ["resume=run", "data.library=new (2)", "dry=d,1.wav", "data.cache=~/c"]
    monkeypatch.setattr(sys, "argv", ["train.py", *words])
    main()
    assert begun[0] == {
        "data": {"library": str(place / "new (2)"), "cache": os.path.expanduser("~/c")},
        "effect": {"dry": str(place / "d,1.wav"), "wet": "/old/w"},
        "seed": 7,
        "knobs": None,
        "conditioning": "scales",
    }


def test_a_place_that_the_run_does_not_have_is_refused(monkeypatch, place, capsys):
    earlier_run(place / "run", "data: {library: /old}\neffect: {gain: 1}\n")
    monkeypatch.setattr(sys, "argv", ["train.py", "resume=run", "effect.path=x.nam"])
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().err == "error: effect.path: the run that is resumed has no such option\n"


@pytest.mark.parametrize(
    ("number", "status", "sweep"),
    [(signal.SIGTERM, 143, False), (signal.SIGHUP, 129, False), (signal.SIGTERM, 143, True)],
)
def test_who_ends_a_start_is_told_how_to_continue(start, place, capsys, number, status, sweep):
    def run(config, folder):
        os.kill(os.getpid(), number)
        raise AssertionError("the signal was lost")

    place_words = ["-m", "hydra.sweep.dir=my sweep", "seed=1,2"] if sweep else ["hydra.run.dir=run"]
    with pytest.raises(SystemExit) as ended:
        start(run, *place_words)
    assert ended.value.code == status
    error = capsys.readouterr().err
    command = f"-m seed=1,2 'hydra.sweep.dir={place}/my sweep'" if sweep else f"resume={place}/run"
    assert error.endswith(f": python train.py {command}\n") and error.count("\n") == 2


@pytest.mark.parametrize("number", ENDS)
def test_every_command_ends_for_a_signal_with_its_status_and_a_line(number, capsys):
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as ended, one_line_errors("what was made is kept"):
        os.kill(os.getpid(), number)
    assert ended.value.code == 128 + number and capsys.readouterr().err == "what was made is kept\n"
    assert signal.getsignal(number) == before


def test_what_is_ignored_stays_ignored(monkeypatch):
    """As SIGHUP under nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    stop = StopOnInterrupt()
    with one_line_errors():
        stop.on_train_start(None, None)
        os.kill(os.getpid(), signal.SIGHUP)
    assert stop.received is None


@pytest.mark.parametrize("number", ENDS)
def test_a_signal_stops_a_training_and_ends_a_sweep(number):
    stop = StopOnInterrupt()
    stop.on_train_start(None, None)
    os.kill(os.getpid(), number)
    assert stop.received == number
    # A second one is not caught.
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    with pytest.raises(Terminated) as ended:
        os.kill(os.getpid(), signal.SIGINT)
    assert ended.value.number == signal.SIGINT
    EndSweep().on_train_start(None, None)
    with pytest.raises(Terminated) as ended:
        os.kill(os.getpid(), number)
    assert ended.value.number == number


def test_lines_for_a_terminal_that_is_gone_are_only_logged():
    """As after SIGHUP, while the report is written."""
    ours, terminal = os.openpty()
    code = (
        "import logging, sys; from fxemu.training.monitoring.terminal import tell\n"
        "logging.basicConfig(level='INFO', filename='log'); sys.stdin.read(1)\n"
        "tell('first'); tell('second', error=True); print('third'); sys.exit(129)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=terminal, stderr=terminal)
    os.close(terminal)
    os.close(ours)
    process.communicate(b"x", timeout=60)
    assert process.returncode == 129
    assert [line.split(":")[-1] for line in Path("log").read_text().splitlines()] == ["first", "second"]
