"""Names load on first use, nothing shadows anything, and imports point one way."""

import ast
import types
from importlib import import_module
from pathlib import Path

import pytest

from kerasvision import _lazy

ROOT = Path(__file__).resolve().parent.parent
TREES = {"kerasvision": ROOT / "kerasvision", "recipes": ROOT / "recipes", "export": ROOT / "export"}
PACKAGES = (
    "data",
    "detection",
    "embedding",
    "explain",
    "export",
    "metrics",
    "models",
    "recipes",
    "report",
    "segmentation",
    "training",
)
# A module may import from its own layer and from those below.
LAYERS = (
    {"cli"},
    {"recipes"},
    {"export"},
    {"detection", "segmentation", "embedding", "training", "metrics", "report", "data"},
    {"models", "explain"},
    {"errors", "files", "progress", "_lazy", "_litert", "_tflite_file"},
)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_resolves(package):
    module = import_module(f"kerasvision.{package}")
    assert module.__all__, f"kerasvision.{package} has no public names"
    assert sorted(module.__all__) == dir(module)
    for name in module.__all__:
        value = getattr(module, name)
        assert not isinstance(value, types.ModuleType), f"kerasvision.{package}.{name} is a module"
        assert value.__doc__ or not callable(value), f"kerasvision.{package}.{name} has no docstring"


@pytest.mark.parametrize("package", PACKAGES)
def test_no_submodule_bears_the_name_of_something_public(package):
    module = import_module(f"kerasvision.{package}")
    folder = Path(module.__file__).parent
    assert not {p.stem for p in folder.iterdir()} & set(module.__all__)


def test_top_level_names():
    import kerasvision

    assert set(PACKAGES) < set(kerasvision.__all__)
    for name in kerasvision.__all__:
        assert isinstance(getattr(kerasvision, name), types.ModuleType)


def test_unknown_name_lists_those_there_are():
    import kerasvision

    with pytest.raises(AttributeError, match=r"no attribute 'modles'\. It has: .*models"):
        kerasvision.modles  # noqa: B018


def test_attach_loads_once_and_only_on_use(tmp_path, monkeypatch):
    (tmp_path / "lazy_example").mkdir()
    (tmp_path / "lazy_example" / "__init__.py").write_text(
        "from kerasvision._lazy import attach\n"
        "__getattr__, __dir__, __all__ = attach(__name__, submodules=('parts',), names={'answer': 'maths'})\n"
    )
    (tmp_path / "lazy_example" / "maths.py").write_text("answer = object()\n")
    (tmp_path / "lazy_example" / "parts.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    package = import_module("lazy_example")
    assert package.__all__ == ["answer", "parts"] == dir(package)
    assert "maths" not in vars(package)
    first = package.answer
    assert package.answer is first and vars(package)["answer"] is first
    assert package.parts.__name__ == "lazy_example.parts"
    assert _lazy.attach("lazy_example")[2] == []


def modules():
    """Return (dotted name without `kerasvision.`, file) of every module."""
    for tree, folder in TREES.items():
        for file in folder.rglob("*.py"):
            parts = file.relative_to(folder).with_suffix("").parts
            parts = parts if tree == "kerasvision" else (tree, *parts)
            yield ".".join(p for p in parts if p != "__init__") or "__init__", file


def imported(file: Path) -> set[str]:
    """Return the parts of kerasvision that a module imports anywhere, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names if a.name.startswith("kerasvision.")}
        elif isinstance(node, ast.ImportFrom) and node.level:
            raise AssertionError(f"{file}:{node.lineno}: imports are absolute")
        elif isinstance(node, ast.ImportFrom) and node.module == "kerasvision":
            found |= {f"kerasvision.{a.name}" for a in node.names if a.name != "__version__"}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("kerasvision."):
            found.add(node.module)
    return {name.split(".")[1] for name in found}


def layer(part: str) -> int:
    """Return the index of the layer that a part belongs to."""
    (found,) = (i for i, parts in enumerate(LAYERS) if part in parts)
    return found


def test_imports_point_one_way():
    wrong = [
        f"{file.relative_to(ROOT)} imports kerasvision.{target}"
        for name, file in modules()
        if name != "__init__"
        for target in imported(file)
        if layer(target) < layer(name.split(".")[0])
    ]
    assert not wrong


def test_nobody_imports_the_trees_by_their_folder_names():
    for _, file in modules():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {n.split(".")[0] for n in names} & {"recipes", "export"}, file


def test_files_stay_readable():
    """Split at 450 lines."""
    long = {n: c for n, f in modules() if (c := len(f.read_text(encoding="utf-8").splitlines())) > 450}
    assert not long


def test_no_assert_outside_tests():
    for _, file in modules():
        nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        assert not [n.lineno for n in nodes if isinstance(n, ast.Assert)], file
