"""The notebook runs from top to bottom, as a user in Colab would run it, but without installing."""

import os
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_are_committed_without_outputs(file):
    notebook = nbformat.read(file, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not [cell for cell in cells if cell.outputs or cell.execution_count]
    assert cells[0].source.startswith("%pip install") and "install" in cells[0].metadata.tags


@pytest.mark.slow
@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_run(file, tmp_path, monkeypatch):
    from nbclient import NotebookClient

    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("KERASVISION_QUIET", raising=False)
    notebook = nbformat.read(file, as_version=4)
    notebook.cells = [c for c in notebook.cells if "install" not in c.metadata.get("tags", ())]
    NotebookClient(
        notebook, timeout=400, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    shown = {cell.source: _text(cell) for cell in notebook.cells if cell.cell_type == "code"}
    assert "ready to train" in shown['kv.data.check(PHOTOS, clean_list="clean.csv")']
    assert "accuracy" in shown["run"].lower() and "<svg" in shown["run"]
    assert "passed" in next(text for source, text in shown.items() if "run.export" in source)
    assert (tmp_path / "runs" / "first" / "report.html").is_file()
    assert len(list((tmp_path / "phone").glob("*_int8.tflite"))) == 1


def _text(cell) -> str:
    """Return all that a cell printed or showed."""
    parts = [output.get("text", "") for output in cell.outputs]
    for output in cell.outputs:
        parts += [str(value) for value in output.get("data", {}).values()]
    return "\n".join(parts)
