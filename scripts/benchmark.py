"""The figures in README and docs/, measured anew; each table is a file in `tables/`.

`python scripts/benchmark.py TABLE` prints it, then its command, git commit and machine. `--write docs/PAGE.md` keeps
the rows in docs/tables/TABLE.csv, in place of those of the same name, and renders the page between
`<!-- table: TABLE -->` and `<!-- end -->`; with `--rows NAME` row by row, each with a source of its own.
`--printed FILE` takes what an earlier run printed in place of a measurement. `python scripts/benchmark.py pages`
renders all pages.
"""

from __future__ import annotations

import argparse
import ast
import sys
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path

from tables.pages import ROOT, Summary, Tee, check_place, render_page, source_line, update_rows

FOLDER = Path(__file__).resolve().parent / "tables"
HELPERS = ("__init__", "common", "c_loops", "pages")
TABLES = {path.stem: path for path in sorted(FOLDER.glob("*.py")) if path.stem not in HELPERS}


def main() -> None:
    lines = [f"  {name:<18}{ast.get_docstring(ast.parse(path.read_text()))}" for name, path in TABLES.items()]
    parser = argparse.ArgumentParser(
        description="\n".join([__doc__, "", *lines]), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", choices=[*TABLES, "pages"])
    parser.add_argument("--jobs", type=int, default=2, help="trainings at once")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--files", type=int, nargs="+", default=[10, 100, 1000], help="sizes of libraries (library)")
    parser.add_argument("--runs", nargs="+", default=[], help="folders of finished runs (aliasing, stability)")
    parser.add_argument("--rows", nargs="+", default=[], help="rows to do, where a table has many")
    parser.add_argument("--nam", metavar="PYTHON", help="that has neural-amp-modeler (boxes, hardware, nam)")
    parser.add_argument("--library", default="examples", help="folder of songs (boxes, look, memory, shelf, spine)")
    parser.add_argument("--recordings", default="", help="folder of DEVICE/SETTING/{dry,wet}/CLIP (hardware, look)")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="a page with a place for the table, docs/NAME.md")
    parser.add_argument("--printed", type=Path, metavar="FILE", help="with --write: what an earlier run printed")
    options = parser.parse_args()
    if options.table == "pages":
        write_pages()
        return
    if options.write:
        check_place(options.write, options.table)
    printed = options.printed.read_text() if options.printed else made(options)
    if options.write:
        update_rows(options.write, options.table, printed)
        write_pages(options.write)


def made(options: argparse.Namespace) -> str:
    """Measure and print a table, with its source below it."""
    with redirect_stdout(Tee(sys.stdout)) as printed:
        import_module(f"tables.{options.table}").run(options)
        print(f"\n{source_line(sys.argv[1:])}")
    return printed.getvalue()


def write_pages(*pages: Path) -> None:
    """Render the tables of some pages, or of all of docs/, from their rows."""
    for page in pages or sorted((ROOT / "docs").glob("*.md")):
        page.write_text(render_page(page, summary_of))


def summary_of(name: str) -> Summary | None:
    """What a table adds below its rows, where it has such a function."""
    return getattr(import_module(f"tables.{name}"), "summary", None) if name in TABLES else None


if __name__ == "__main__":
    main()
