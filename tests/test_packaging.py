"""What is installed is what is in the checkout, and it works from anywhere."""

import ast
import configparser
import os
import runpy
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
import setuptools

ROOT = Path(__file__).resolve().parent.parent
TREES = {"kerasvision": "kerasvision", "recipes": "kerasvision/recipes", "export": "kerasvision/export"}


def run(*command, **options):
    """Run a command, and show its output if it fails."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=300, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def expected_files() -> set[str]:
    """Return what the wheel must hold: every file of the three trees, mapped into the package."""
    found = set()
    for tree, place in TREES.items():
        files = (p for p in (ROOT / tree).rglob("*") if p.is_file() and "__pycache__" not in p.parts)
        found |= {f"{place}/{p.relative_to(ROOT / tree).as_posix()}" for p in files}
    return found


def checkout_copy(folder: Path) -> Path:
    """Copy what a build needs, so that building leaves no `build/` in the checkout."""
    import shutil

    for name in TREES:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def new_environment(folder: Path, *, tensorflow: dict[str, str] | None = None, pip: bool = True) -> Path:
    """Make an environment with stubs of the builds of TensorFlow named; returns its interpreter."""
    venv.create(folder, with_pip=pip)
    site = folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    for name, version in (tensorflow or {}).items():
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "INSTALLER").write_text("pip\n")
        (info / "RECORD").write_text("")
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Build the wheel as pip does, in isolation."""
    source = checkout_copy(tmp_path_factory.mktemp("source"))
    out = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", out, source)
    (built,) = out.glob("*.whl")
    return built


def test_packages_in_setup_cfg_are_the_packages_there_are():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    listed = config["options"]["packages"].split()
    there = {str(Path(f).parent).replace("/", ".") for f in expected_files() if f.endswith("/__init__.py")}
    assert sorted(listed) == sorted(there)
    assert {str(Path(f).parent) for f in expected_files() if f.endswith(".py")} == {
        p.replace(".", "/") for p in listed
    }, "a folder of modules without an __init__.py"


def test_recipes_and_export_are_flat():
    assert not [p for tree in ("recipes", "export") for p in (ROOT / tree).glob("*/*.py")]


def test_every_import_of_a_package_is_required():
    """Each package that the code imports is a requirement, an extra, or comes with one that is named here."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    stated = config["options"]["install_requires"] + "\n".join(config["options.extras_require"].values())
    required = {line.split(">=")[0].strip() for line in stated.split("\n")}
    names = {"PIL": "pillow", "sklearn": "scikit-learn", "IPython": "ipykernel", "yaml": "pyyaml"}
    missing = {
        f"{file.relative_to(ROOT)}: {package}"
        for tree in TREES
        for file in (ROOT / tree).rglob("*.py")
        for package in imported_packages(file) - set(sys.stdlib_module_names) - {"kerasvision"}
        if names.get(package, package.replace("_", "-")) not in required
    }
    assert not missing


def imported_packages(file: Path) -> set[str]:
    """Return the top-level packages that a module imports, anywhere in it."""
    nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    plain = {a.name.split(".")[0] for n in nodes if isinstance(n, ast.Import) for a in n.names}
    return plain | {n.module.split(".")[0] for n in nodes if isinstance(n, ast.ImportFrom) and n.module}


REQUIREMENTS = ["tensorflow>=2.18", "keras>=3.10", "tensorflow-datasets>=4.9.6"]
SELECTIONS = {
    "nothing there": ({}, "tensorflow>=2.18"),
    "tensorflow itself": ({"tensorflow": (2, 21)}, "tensorflow>=2.18"),
    "both builds": ({"tensorflow": (2, 21), "tensorflow-cpu": (2, 21)}, "tensorflow>=2.18"),
    "the CPU build": ({"tensorflow-cpu": (2, 21)}, "tensorflow-cpu>=2.18"),
    "the oldest in range": ({"tensorflow-cpu": (2, 18)}, "tensorflow-cpu>=2.18"),
    "an old CPU build": ({"tensorflow-cpu": (2, 17)}, "tensorflow>=2.18"),
    "an old tensorflow and a new CPU build": (
        {"tensorflow": (2, 9), "tensorflow-cpu": (2, 20)},
        "tensorflow-cpu>=2.18",
    ),
    "a nightly build": ({"tf-nightly": (2, 22)}, "tf-nightly>=2.18"),
    "a next major version": ({"tensorflow-macos": (3, 0)}, "tensorflow-macos>=2.18"),
}


@pytest.fixture
def setup_py(monkeypatch):
    """Run setup.py without its call of `setup`."""
    monkeypatch.setattr(setuptools, "setup", lambda **arguments: None)
    return runpy.run_path(str(ROOT / "setup.py"))


@pytest.mark.parametrize("case", SELECTIONS)
def test_tensorflow_that_is_asked_for(setup_py, case):
    there, expected = SELECTIONS[case]
    assert setup_py["choose"](REQUIREMENTS, there) == [expected, *REQUIREMENTS[1:]]


def test_builds_of_tensorflow_are_found(setup_py, tmp_path):
    for name, version in {"tensorflow_cpu": "2.21.0rc1", "numpy": "2.4", "tf_nightly": "2.22.0.dev1"}.items():
        (tmp_path / f"{name}-{version}.dist-info").mkdir()
        (tmp_path / f"{name}-{version}.dist-info" / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
    assert setup_py["installed"]([str(tmp_path)]) == {"tensorflow-cpu": (2, 21), "tf-nightly": (2, 22)}


@pytest.mark.slow
@pytest.mark.parametrize(
    "there, expected",
    [({}, "tensorflow>=2.18"), ({"tensorflow-cpu": "2.21.0"}, "tensorflow-cpu>=2.18")],
    ids=["bare", "tensorflow-cpu"],
)
@pytest.mark.parametrize("editable", [(), ("--editable",)], ids=["regular", "editable"])
def test_pip_install_asks_for_the_tensorflow_that_is_there(tmp_path, there, expected, editable):
    """Both kinds of installation, by pip in isolation, into a new environment with a stub of TensorFlow."""
    python = new_environment(tmp_path / "environment", tensorflow=there)
    (tmp_path / "source").mkdir()
    source = checkout_copy(tmp_path / "source")
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", *editable, source)
    required = "from importlib.metadata import requires; print(*requires('kerasvision'), sep='\\n')"
    found = [
        r
        for r in run(python, "-I", "-c", required).split("\n")
        if r.startswith(("tensorflow>", "tensorflow-cpu"))
    ]
    assert found == [expected]


@pytest.mark.slow
def test_wheel_holds_the_three_trees_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        files = {n for n in archive.namelist() if ".dist-info/" not in n}
    assert files == expected_files()
    assert {n.split("/")[0] for n in files} == {"kerasvision"}


@pytest.mark.slow
def test_regular_install_works_from_another_folder(wheel, tmp_path):
    """Install the wheel into a new environment that sees our dependencies, but not our checkout.

    A path file shows it the packages of this environment; path files inside those (of an editable
    installation) are not followed.
    """
    python = new_environment(tmp_path / "environment")
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])").strip())
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", wheel)
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "export.py").write_text("raise RuntimeError('a file of the user was imported')")
    (elsewhere / "recipes.py").write_text("raise RuntimeError('a file of the user was imported')")
    code = (
        "import kerasvision as kv, sys; print(kv.__file__, kv.recipes.__file__, kv.export.__file__);"
        "assert not {'recipes', 'export'} & set(sys.modules)"
    )
    places = run(python, "-c", code, cwd=elsewhere, env=without_pythonpath()).split()
    assert len(places) == 3 and all(Path(p).is_relative_to(site / "kerasvision") for p in places)
    shown = run(python.parent / "kerasvision", "--help", cwd=elsewhere, env=without_pythonpath())
    assert "train" in shown and "demo" in shown


def without_pythonpath() -> dict[str, str]:
    """Return the environment variables without PYTHONPATH."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}


def test_checkout_works_from_another_folder_without_installation(tmp_path):
    code = "import kerasvision as kv; print(kv.recipes.__file__); print(kv.export.__file__)"
    found = run(sys.executable, "-S", "-c", code, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert found.split() == [str(ROOT / "recipes" / "__init__.py"), str(ROOT / "export" / "__init__.py")]


@pytest.mark.parametrize(
    "code", ["import kerasvision", "from kerasvision.cli.main import run; run(['--help'])"]
)
def test_nothing_heavy_is_imported_early(code):
    script = (
        "import sys, contextlib, io\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        f"    {code}\n"
        "print(*sorted({m.split('.')[0] for m in sys.modules}))"
    )
    loaded = run(sys.executable, "-c", script).split()
    heavy = {"tensorflow", "keras", "keras_cv", "matplotlib", "numpy", "PIL", "sklearn", "ai_edge_litert"}
    assert "kerasvision" in loaded and not heavy & set(loaded)
