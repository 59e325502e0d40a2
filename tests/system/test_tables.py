"""Tables of figures in the pages: rendered from data that scripts/benchmark.py writes, each row with its source."""

import re
import sys
from importlib import import_module

import pytest
from helpers.commands import ROOT

from fxemu.training.race.heat import CUT_OFF

sys.path.insert(0, str(ROOT / "scripts"))
from benchmark import TABLES, main, summary_of
from tables.boxes import fits_s
from tables.pages import PLACE, SOURCE, read_rows, render_page, source_line

PAGES = sorted((ROOT / "docs").glob("*.md"))
PAGE = "# Speed\n\n<!-- table: render -->\nold\n<!-- end -->\n\nText.\n<!-- table: other -->\n<!-- end -->\n"
# Its numbers are names: those of an LV2 plugin's ports.
PORTS = "| port | symbol | unit, range |"


def printed(commit: str, *rows: str) -> str:
    table = "\n".join(["| net | speed |", "|---|---|", *rows])
    other = "| family | loss |\n|---|---|\n| none | 1 |\n"
    return f"{other}\nseed 0\n\n{table}\n\n`python scripts/benchmark.py render`, commit {commit}, EPYC, 2 cores\n"


@pytest.fixture
def page(tmp_path, monkeypatch):
    """A page, and a function that takes what was printed into it."""
    page = tmp_path / "speed.md"
    page.write_text(PAGE)

    def take(text: str) -> str:
        (tmp_path / "printed").write_text(text)
        words = ["render", "--write", str(page), "--printed", str(tmp_path / "printed")]
        monkeypatch.setattr(sys, "argv", ["benchmark.py", *words])
        main()
        return page.read_text()

    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "render.csv").write_text("net,speed,command,commit,machine\n")
    return page, take


def test_rows_replace_those_of_their_name_and_keep_their_source(page):
    path, take = page
    (path.parent / "tables" / "render.csv").write_text("net,speed,command,commit,machine\nmlp,7x,by hand,0a,\n")
    take(printed("a1", "| mlp (wide) |  |", "| gru, fed back | 1x |"))
    text = take(printed("b2 with changes", "| lstm | 3x |", "| mlp |  |"))
    _, _, rest = text.partition("<!-- table: render -->\n\n")
    table, _, after = rest.partition("\n\n<!-- end -->")
    command = "`python scripts/benchmark.py render`"
    assert table == (
        "| net | speed |\n|---|---|\n| mlp | 7x |\n| gru, fed back | 1x |\n| lstm | 3x |\n\n"
        f"- gru, fed back: {command}, commit a1, EPYC, 2 cores\n"
        f"- the others: {command}, commit b2 with changes, EPYC, 2 cores"
    )
    assert f"# Speed\n\n<!-- table: render -->\n<!-- end -->{after}" == PAGE.replace("old\n", "")


def test_what_is_printed_without_a_source_or_with_other_columns_is_refused(page):
    path, take = page
    (path.parent / "tables" / "render.csv").write_text("net,rate,command,commit,machine\nmlp,7x,by hand,0a,\n")
    for text in (printed("a1", "| mlp | 1x |"), printed("a1", "| mlp | 1x |").replace("speed", "rate")[:-30]):
        with pytest.raises(SystemExit, match="nothing printed has a source, and a table with the columns"):
            take(text)
    assert path.read_text() == PAGE


def test_a_page_without_a_place_is_refused_before_anything_is_measured(tmp_path, monkeypatch, capsys):
    (tmp_path / "speed.md").write_text("<!-- table: render -->")
    monkeypatch.setattr(sys, "argv", ["benchmark.py", "render", "--write", str(tmp_path / "speed.md")])
    with pytest.raises(SystemExit, match="no place for the table: put `<!-- table: render -->` and `<!-- end -->`"):
        main()
    assert capsys.readouterr().out == ""


def test_a_source_names_no_row_and_no_place_on_this_machine():
    words = ["boxes", "--library", "/home/me/music", "--rows", "a b", "c", "--jobs", "1", "--write", "docs/results.md"]
    command = "python scripts/benchmark.py boxes --library MUSIC --jobs 1"
    assert re.fullmatch(rf"`{command}`, commit [0-9a-f]{{7,}}.*, .+, \d+ cores", source_line(words))


def test_fits_that_were_cut_off_count_once():
    """Each of them has the seconds of all together."""
    rows = [
        {"round": 0, "seconds": 20.0, "error": None},
        {"round": 0, "seconds": 30.0, "error": "it moves not"},
        {"round": 0, "seconds": 140.0, "error": CUT_OFF},
        {"round": 0, "seconds": 140.0, "error": CUT_OFF},
        {"round": 1, "seconds": 500.0, "error": None},
    ]
    assert fits_s(rows) == 140
    assert fits_s(rows[:2] + rows[4:]) == 50
    assert fits_s([]) == 0


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_page_shows_the_figures_that_are_kept(path):
    text = path.read_text()
    assert render_page(path, summary_of) == text
    for name, _ in PLACE.findall(text):
        rows = read_rows(path, name)
        assert rows and all(row[column] or column == "machine" for row in rows for column in SOURCE), name
    # Outside of these places no cell is a figure alone.
    for header, rows in re.findall(r"^ *(\|.*)\n *\|[-|]+\n((?: *\|.*\n)*)", PLACE.sub("", text), re.MULTILINE):
        cells = [cell.strip(" *") for cell in rows.split("|")]
        assert header == PORTS or not [cell for cell in cells if re.match(r"[-<]?\d", cell)], header


def test_every_table_that_is_kept_stands_in_one_page_and_is_printed_by_a_script():
    names = [name for page in PAGES for name, _ in PLACE.findall(page.read_text())]
    assert sorted(names) == sorted(path.stem for path in (ROOT / "docs" / "tables").glob("*.csv"))
    assert set(names) <= set(TABLES)


@pytest.mark.parametrize("name", TABLES)
def test_what_a_table_imports_exists(name):
    assert callable(import_module(f"tables.{name}").run)
