"""Ask for the build of TensorFlow that is there already, if it satisfies the range, instead of `tensorflow`.

pip does not know that tensorflow-cpu (or tensorflow-macos, tf-nightly, …) provides TensorFlow and would put
the 570 MB GPU build beside it, into the same folder. Everything else is in setup.cfg.

The build is asked for by its own name rather than by none at all, so that a wheel that is built here and
installed elsewhere still brings a TensorFlow. Tools that build outside of the environment they install
into (uv, `python -m build`) do not see its packages: they ask for `tensorflow`.
"""

import sys
import sysconfig
from importlib.metadata import distributions
from pathlib import Path

from setuptools import Distribution, setup

BUILDS = ("tensorflow-cpu", "tensorflow-macos", "tensorflow-aarch64", "tf-nightly", "tf-nightly-cpu")


def places():
    """Return the folders of packages that the environment sees into which we are being installed.

    pip builds in isolation, where `sys.path` hides them, but runs the environment's own interpreter.
    """
    found = [sysconfig.get_paths()]
    configuration = Path(sys.prefix) / "pyvenv.cfg"
    if configuration.is_file() and "include-system-site-packages = true" in configuration.read_text().lower():
        found.append(sysconfig.get_paths(vars={"base": sys.base_prefix, "platbase": sys.base_exec_prefix}))
    return list(dict.fromkeys(paths[kind] for paths in found for kind in ("purelib", "platlib")))


def installed(folders):
    """Return {name: (major, minor)} of the builds of TensorFlow in these folders, `tensorflow` included."""
    named = (
        (str(d.metadata["Name"]).lower().replace("_", "-"), d.version) for d in distributions(path=folders)
    )
    return {n: tuple(map(int, v.split(".")[:2])) for n, v in named if n in (*BUILDS, "tensorflow")}


def choose(requirements, there):
    """Return the requirements with `tensorflow` replaced by the build that satisfies its range, if any."""
    (wanted,) = (r for r in requirements if r.startswith("tensorflow>="))
    minimum = tuple(map(int, wanted.removeprefix("tensorflow>=").split(".")[:2]))
    fit = [name for name in ("tensorflow", *BUILDS) if there.get(name, (0, 0)) >= minimum]
    if not fit:
        return list(requirements)
    return [r.replace("tensorflow", fit[0]) if r == wanted else r for r in requirements]


class KerasvisionDistribution(Distribution):
    """Read setup.cfg, then ask for the TensorFlow that is there."""

    def parse_config_files(self, *args, **kwargs):
        """Read the configuration and adjust the requirements, also in the copy that the metadata keeps."""
        super().parse_config_files(*args, **kwargs)
        self.install_requires = choose(self.install_requires, installed(places()))
        self.metadata.install_requires = self.install_requires


setup(distclass=KerasvisionDistribution)
