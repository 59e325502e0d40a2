"""docs/quickstart.ipynb, run as it stands but for a training of seconds."""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent.parent
NOTEBOOK = ROOT / "docs" / "quickstart.ipynb"


def test_the_notebook_trains_and_exports(tmp_path):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    (parameters,) = [i for i, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", ())]
    small = f"output = {str(tmp_path)!r}\nforced_steps, rollout_steps = 20, 5"
    notebook.cells.insert(parameters + 1, nbformat.v4.new_code_cell(small))
    # An error in a cell is raised here.
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()
    assert "process(" in (tmp_path / "pedal.c").read_text()
    kinds = {kind for cell in notebook.cells for output in cell.get("outputs", ()) for kind in output.get("data", ())}
    assert {"image/png", "text/html"} <= kinds


def test_what_is_committed_was_run_and_is_small():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not [output for cell in cells for output in cell.outputs if output.output_type == "error"]
    assert NOTEBOOK.stat().st_size < 500_000
