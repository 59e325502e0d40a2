"""The README and the pages of docs/: their length, links, commands, snippets and figures."""

import re
import shlex
from pathlib import Path

import pytest
from helpers.commands import forked

ROOT = Path(__file__).resolve().parent.parent.parent
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
# docs/extending.md names what it adds, and is carried out by test_extending.py.
RUN = [page for page in PAGES if page.name != "extending.md"]
# What a user replaces by something of their own: FOLDER, NAME.
PLACEHOLDER = re.compile(r"=([A-Z]+\b|$)")


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_it_opens_with_a_picture_and_exactly_two_commands():
    commands = [block.strip() for block in blocks("sh")]
    assert commands == [
        "pip install -e . -c requirements.lock && python train.py effect=distortion repr=mulaw",
        'pip install -e ".[test]" -c requirements.lock && python -m pytest',
    ]
    assert README.index("![") < README.index("```sh")


def test_it_is_two_pages_long():
    assert len(README.splitlines()) <= 200 and len(README.split()) <= 1500


def anchors(text: str) -> set[str]:
    """The names by which GitHub links to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for path, anchor in re.findall(r"\[[^\]]*\]\(([^)#:]*)#?([^):]*)\)", page.read_text()):
        target = page.parent / path if path else page
        assert target.exists(), path
        assert not anchor or anchor in anchors(target.read_text()), f"{path}#{anchor}"


def test_every_page_is_linked_from_the_readme():
    linked = set(re.findall(r"\]\(([^)#:]+)\)", README))
    assert {str(page.relative_to(ROOT)) for page in PAGES[1:]} <= linked


SNIPPETS = [
    pytest.param(snippet, output, id=f"{page.name}-{i}")
    for page in RUN
    for i, (snippet, output) in enumerate(
        re.findall(r"^```python\n(.*?)^```$(?:\n\n```text\n(.*?)^```$)?", page.read_text(), re.MULTILINE | re.DOTALL)
    )
]


@pytest.mark.parametrize(("snippet", "output"), SNIPPETS)
def test_python_runs_and_prints_what_stands_below_it(snippet, output):
    names = {"__name__": "__main__"}

    def program() -> None:
        exec(snippet, names)
        if snippet in README:
            assert names["features"].shape == (10_000, 127) and names["targets"].shape == (10_000, 1)

    done = forked(program, ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout == output


def test_fragments_of_python_compile():
    for page in RUN:
        for fragment in blocks("py", page.read_text()):
            compile(fragment, str(page), "exec")


def lines_of_commands() -> list[str]:
    """Every line of a `bash` or `shell` block, a line that goes on joined to the next."""
    texts = [page.read_text().replace("\\\n", " ") for page in RUN]
    found = [block for text in texts for language in ("bash", "shell") for block in blocks(language, text)]
    return [line for block in found for line in block.splitlines() if line]


def code_spans() -> list[str]:
    """Every piece of `code` in running text and tables."""
    texts = [re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL) for page in RUN]
    return [" ".join(span.split()) for text in texts for span in re.findall(r"`([^`]+)`", text)]


def overrides(words: list[str]) -> list[str]:
    """The options among the words of a command that can be composed here: not resume, nor a launcher of an extra."""
    return [word for word in words if not re.match(r"-|resume=|hydra|--ray$", word) and not PLACEHOLDER.search(word)]


def trainings() -> list[str]:
    """The options of every training in the pages, whole commands and options alone, as one string each."""
    found = set()
    for line in (*lines_of_commands(), *code_spans()):
        try:
            words = shlex.split(line.split(" #")[0])
        except ValueError:
            continue  # a span that is no command
        start = next((i for i in range(len(words)) if words[i : i + 2] in STARTS), None)
        if start is not None:
            words = words[start + 2 :]
        elif not words or not re.match(OPTION, words[0]) or not all("=" in word for word in words):
            continue
        found.add(shlex.join(overrides(words)))
    return sorted(found - {""})


STARTS = [["python", "train.py"], ["fxemu", "train"], ["fxemu", "prepare"]]
GROUPS = ("effect", "repr", "model", "loss", "training", "data", "trainer", "experiment", "study", "debug")
OPTION = rf"({'|'.join(GROUPS)})[\w.]*="


@pytest.mark.parametrize("words", trainings())
def test_options_compose(words):
    from hydra import compose, initialize_config_dir

    from fxemu.training.overrides import arguments
    from fxemu.training.run_folder import CONF

    if "study=search" in words:
        pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason='needs pip install "fxemu[sweep]"')
    # Of a sweep over several options, the first.
    given = [re.sub(r"^(\w+=\w+),[\w,]+$", r"\1", word) for word in arguments(shlex.split(words))]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        compose("train", given)


def test_the_pages_hold_many_trainings():
    assert len(trainings()) > 50


def test_other_commands_exist():
    from fxemu.cli import COMMANDS

    used = {line.split()[1] for line in lines_of_commands() if line.startswith("fxemu ")}
    used |= {span.split()[1] for span in code_spans() if re.match(r"fxemu [a-z]", span)}
    assert used and used <= set(COMMANDS)


def test_tables_that_are_named_can_be_made():
    """What `benchmark.py NAME` names is a file in scripts/tables/; each place for a table ends before the next."""
    for page in RUN:
        text = page.read_text()
        for name in re.findall(r"benchmark\.py\s+([a-z_]+)", text):
            assert (ROOT / "scripts" / "tables" / f"{name}.py").is_file(), f"{page.name}: {name}"
        marks = re.findall(r"^<!-- (table: \w+|end) -->$", text, re.MULTILINE)
        assert all((mark == "end") == bool(i % 2) for i, mark in enumerate(marks)) and len(marks) % 2 == 0, page.name


def test_its_figures_are_those_of_the_pages():
    """The README's table of results repeats figures that stand, with their commands, in docs/."""
    rows = README.partition("## What it reaches")[2].partition("\n## ")[0]
    figures = {float(figure) for figure in re.findall(r"\d\.\de[+-]\d+", rows)}
    pages = "".join((ROOT / "docs" / name).read_text() for name in ("results.md", "memory.md"))
    assert len(figures) >= 10
    assert figures <= {float(figure) for figure in re.findall(r"\d\.\de[+-]\d+", pages)}


def test_files_that_are_named_exist():
    named = [span for span in code_spans() if re.fullmatch(r"[a-z_]+/[\w/]+\.(py|yaml)", span)]
    assert len(named) > 15
    assert [name for name in named if not any((folder / name).is_file() for folder in (ROOT, ROOT / "fxemu"))] == []


def test_its_listing_is_that_of_the_package():
    listing = README.partition("    fxemu/\n")[2].partition("    conf/")[0]
    folders = {path.parent.name for path in (ROOT / "fxemu").glob("*/__init__.py")}
    assert set(re.findall(r"^ +(\w+)/", listing, re.MULTILINE)) == folders
