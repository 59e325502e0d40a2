"""Tables of figures in the pages: written by scripts/benchmark.py, each with its command, commit and machine."""

import re
import sys
from importlib import import_module

import pytest
from helpers.commands import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
from benchmark import TABLES, main
from tables.common import written

PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
PAGE = "# Speed\n\n<!-- table: render -->\nold\n<!-- end -->\n\nText.\n<!-- table: other -->\n<!-- end -->\n"


def test_a_table_takes_the_place_of_the_last_one_and_nothing_else(tmp_path, monkeypatch, capsys):
    page = tmp_path / "speed.md"
    page.write_text(PAGE)
    monkeypatch.setattr(sys, "argv", ["benchmark.py", "render", "--write", str(page), "--rows", "a b"])
    for speed in (1, 2):
        with written(page, "render"):
            print(f"| net | speed |\n|---|---|\n| mlp | {speed}x |\nseed 0")
    assert "| mlp | 1x |" in capsys.readouterr().out
    _, _, rest = page.read_text().partition("<!-- table: render -->\n\n")
    table, source, after = re.split(r"\n\n(`.*)\n\n(?=<!-- end -->)", rest, maxsplit=1)
    assert table == "| net | speed |\n|---|---|\n| mlp | 2x |\n\nseed 0"
    command = "python scripts/benchmark.py render --rows 'a b'"
    assert re.fullmatch(rf"`{command}`, commit [0-9a-f]{{7,}}.*, .+, \d+ cores", source)
    outside = f"# Speed\n\n<!-- table: render -->{after}"
    assert outside == PAGE.replace("\nold\n", "")


def test_a_page_without_a_place_is_refused_before_anything_is_measured(tmp_path, monkeypatch, capsys):
    (tmp_path / "speed.md").write_text("<!-- table: render -->")
    monkeypatch.setattr(sys, "argv", ["benchmark.py", "render", "--write", str(tmp_path / "speed.md")])
    with pytest.raises(SystemExit, match="no place for the table: put `<!-- table: render -->` and `<!-- end -->`"):
        main()
    assert capsys.readouterr().out == ""


def test_the_places_in_the_pages_are_those_of_tables_there_are():
    for page in PAGES:
        for name in re.findall("<!-- table: (.*) -->", page.read_text()):
            assert name in TABLES, page.name


@pytest.mark.parametrize("name", TABLES)
def test_what_a_table_imports_exists(name):
    assert callable(import_module(f"tables.{name}").run)
