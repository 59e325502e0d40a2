"""The figures in README and docs/, measured anew; each table is a file in `tables/`.

`python scripts/benchmark.py TABLE` prints it; `--write docs/PAGE.md` puts it into a page too, between
`<!-- table: TABLE -->` and `<!-- end -->`, with the command, the git commit and the machine below it.
"""

from __future__ import annotations

import argparse
import ast
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path

from tables.common import written

FOLDER = Path(__file__).resolve().parent / "tables"
HELPERS = ("__init__", "common", "c_loops")
TABLES = {path.stem: path for path in sorted(FOLDER.glob("*.py")) if path.stem not in HELPERS}


def main() -> None:
    lines = [f"  {name:<18}{ast.get_docstring(ast.parse(path.read_text()))}" for name, path in TABLES.items()]
    parser = argparse.ArgumentParser(
        description="\n".join([__doc__, "", *lines]), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", choices=TABLES)
    parser.add_argument("--jobs", type=int, default=2, help="trainings at once")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--files", type=int, nargs="+", default=[10, 100, 1000], help="sizes of libraries (library)")
    parser.add_argument("--runs", nargs="+", default=[], help="folders of finished runs (aliasing, stability)")
    parser.add_argument("--rows", nargs="+", default=[], help="rows to do, where a table has many")
    parser.add_argument("--nam", metavar="PYTHON", help="of an environment with neural-amp-modeler (boxes, nam)")
    parser.add_argument("--library", default="examples", help="folder of songs (boxes, look, memory, spine)")
    parser.add_argument("--recordings", default="", help="folder of DEVICE/SETTING/{dry,wet}/CLIP (boxes, look)")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="a page with a place for the table, docs/NAME.md")
    options = parser.parse_args()
    run = import_module(f"tables.{options.table}").run
    with written(options.write, options.table) if options.write else nullcontext():
        run(options)


if __name__ == "__main__":
    main()
