"""The `fxemu` command: Ctrl-C ends it with a line, whatever it was doing."""

import sys

import pytest

from fxemu import check_pair, cli


def test_ctrl_c_is_a_line(monkeypatch, capsys):
    def interrupted(arguments: list[str]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(check_pair, "main", interrupted)
    monkeypatch.setattr(sys, "argv", ["fxemu", "check-pair", "a.wav", "b.wav"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 130 and capsys.readouterr().err == "interrupted\n"
