"""The `fxemu` command: it starts quickly, and Ctrl-C ends it with a line, whatever it was doing."""

import subprocess
import sys

import pytest

import fxemu
from fxemu import cli
from fxemu.cli import check_pair


def test_ctrl_c_is_a_line(monkeypatch, capsys):
    def interrupted(arguments: list[str]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(check_pair, "main", interrupted)
    monkeypatch.setattr(sys, "argv", ["fxemu", "check-pair", "a.wav", "b.wav"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 130 and capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_an_empty_argument_is_refused(monkeypatch, command):
    monkeypatch.setattr(sys, "argv", ["fxemu", command, "run", ""])
    with pytest.raises(SystemExit, match=f"error: fxemu {command}: an argument is empty"):
        cli.main()


def test_its_version_is_printed(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["fxemu", "--version"])
    cli.main()
    assert capsys.readouterr().out == f"fxemu {fxemu.__version__}\n"


CHATTY = """
import sys, types
from fxemu import cli
sys.modules["chatty"] = types.SimpleNamespace(main=lambda words: [print("x" * 100) for _ in range(10_000)])
cli.COMMANDS["chatty"] = "chatty", "say much"
sys.argv = ["fxemu", "chatty"]
cli.main()
"""


def test_a_reader_that_has_enough_is_no_mistake():
    process = subprocess.Popen([sys.executable, "-c", CHATTY], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline().startswith(b"xxx")
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait() == 1


@pytest.mark.parametrize("module", ["fxemu.cli.train", "fxemu.cli.library"])
def test_a_mistyped_option_need_not_wait_for_slow_imports(module):
    slow = {"torch", "pytorch_lightning", "scipy", "matplotlib"}
    program = f"import sys, {module}; print({slow} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
