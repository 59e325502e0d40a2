"""Tables of figures in pages, rendered from their rows, which are kept as data beside the page.

The table NAME of a page is `tables/NAME.csv` beside it: its columns, and of each row the command, the git commit and
the machine that it was made with. In the page it stands between `<!-- table: NAME -->` and `<!-- end -->`.
"""

from __future__ import annotations

import csv
import io
import os
import platform
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCE = ("command", "commit", "machine")
PLACE = re.compile(r"^<!-- table: (\w+) -->\n(.*?)^<!-- end -->$", re.MULTILINE | re.DOTALL)
PRINTED_SOURCE = re.compile(
    r"^`(?P<command>.+)`, commit (?P<commit>\w+(?: with changes)?), (?P<machine>.+)$", re.MULTILINE
)
Row = dict[str, str]
Summary = Callable[[list[Row]], str]


class Tee(io.StringIO):
    """Keeps what is printed, and prints it."""

    def __init__(self, terminal: TextIO) -> None:
        super().__init__()
        self.terminal = terminal

    def write(self, text: str) -> int:
        self.terminal.write(text)
        self.terminal.flush()
        return super().write(text)


def source_line(words: list[str]) -> str:
    """The command, the commit and the machine of a table that is made now.

    Rows that the command asked for are named by the table; absolute paths stand as a name, /home/me/music as MUSIC.
    """
    kept: list[str] = []
    skipped = False
    for word in words:
        if word.startswith("--"):
            skipped = word in ("--rows", "--write", "--printed")
        if not skipped:
            kept.append(Path(word).name.upper() if word.startswith("/") else word)
    command = shlex.join(["python", "scripts/benchmark.py", *kept])
    return f"`{command}`, commit {_commit()}, {_processor()}, {os.cpu_count()} cores"


def check_place(page: Path, name: str) -> None:
    """SystemExit where a page has no place for a table."""
    if not page.is_file() or name not in [found for found, _ in PLACE.findall(page.read_text())]:
        begin, end = f"<!-- table: {name} -->", "<!-- end -->"
        raise SystemExit(f"--write: {page} has no place for the table: put `{begin}` and `{end}` there, a line each")


def read_rows(page: Path, name: str) -> list[Row]:
    """The rows of a page's table; none where they are not kept yet."""
    path = page.parent / "tables" / f"{name}.csv"
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def update_rows(page: Path, name: str, printed: str) -> None:
    """Take printed rows, in place of those of the same name, and their source, which is printed below them.

    A name is the first column up to a bracket; where an empty cell is printed the old one stays. Of several tables the
    first with the columns of the kept rows is meant.

    Raises:
        SystemExit: if there is no such table, or no source.
    """
    kept, source = read_rows(page, name), PRINTED_SOURCE.search(printed)
    tables = [_parsed(text) for text in re.findall(r"(?:^\|.*\|\n)+", printed, re.MULTILINE)]
    columns = [column for column in (kept or [{}])[0] if column not in SOURCE]
    made = next((rows for rows in tables if rows and list(rows[0]) == (columns or list(rows[0]))), None)
    if source is None or made is None:
        raise SystemExit(f"{name}: nothing printed has a source, and a table with the columns {columns}")
    new = {_name(row): row | source.groupdict() for row in made}
    rows = [row | {column: cell for column, cell in new.pop(_name(row), {}).items() if cell} for row in kept]
    rows += new.values()
    path = page.parent / "tables" / f"{name}.csv"
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def render_page(page: Path, summaries: Callable[[str], Summary | None]) -> str:
    """The text of a page with its tables as their rows are now."""

    def place(match: re.Match[str]) -> str:
        name = match[1]
        rows = read_rows(page, name)
        return f"<!-- table: {name} -->\n\n{_table(rows, summaries(name))}\n\n<!-- end -->" if rows else match[0]

    return PLACE.sub(place, page.read_text())


def _name(row: Row) -> str:
    return next(iter(row.values())).partition(" (")[0]


def _parsed(table: str) -> list[Row]:
    """The rows of a table in Markdown, by its header."""
    header, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines())
    return [dict(zip(header, row, strict=True)) for row in rows]


def _table(rows: list[Row], summary: Summary | None) -> str:
    """A table in Markdown, then its summary, and the source of its rows."""
    columns = [name for name in rows[0] if name not in SOURCE]
    cells = [columns, *([row[name] for name in columns] for row in rows)]
    lines = [f"| {' | '.join(line)} |" for line in cells]
    lines.insert(1, f"|{'---|' * len(columns)}")
    sources: dict[str, list[str]] = {}
    for row in rows:
        sources.setdefault(_source(row), []).append(_name(row))
    most = max(sources, key=lambda source: len(sources[source]))
    below = [f"- {'; '.join(names)}: {source}" for source, names in sources.items() if source != most]
    below.append(f"- the others: {most}" if below else most)
    return "\n\n".join(filter(None, ("\n".join(lines), summary and summary(rows), "\n".join(below))))


def _source(row: Row) -> str:
    command = f"`{row['command']}`" if row["command"].startswith(("python ", "fxemu ")) else row["command"]
    return ", ".join(filter(None, (command, row["commit"] and f"commit {row['commit']}", row["machine"])))


def _commit() -> str:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    # The pages themselves are changed by every table that is written.
    changed = git("status", "--porcelain", "fxemu", "conf", "scripts", "examples")
    return git("rev-parse", "--short", "HEAD") + (" with changes" if changed else "")


def _processor() -> str:
    """The processor's name, such as "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz"."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
