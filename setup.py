"""Leave `tensorflow` out of the requirements when another build of TensorFlow is there already.

pip does not know that tensorflow-cpu (or tensorflow-macos, tf-nightly) provides TensorFlow and would
put the 570 MB GPU build beside it. Everything else is in setup.cfg.
"""

import sysconfig
from importlib.metadata import distributions

from setuptools import Distribution, setup

BUILDS = {"tensorflow-cpu", "tensorflow-macos", "tensorflow-aarch64", "tf-nightly", "tf-nightly-cpu"}


def other_builds(minimum):
    """Return the installed builds of TensorFlow, other than `tensorflow`, from version `minimum` on."""
    here = sysconfig.get_paths()["purelib"]  # the environment installed into, also in an isolated build
    found = ((d.metadata["Name"].lower().replace("_", "-"), d.version) for d in distributions(path=[here]))
    return [n for n, v in found if n in BUILDS and tuple(map(int, v.split(".")[:2])) >= minimum]


class KerasvisionDistribution(Distribution):
    """Read setup.cfg, then drop `tensorflow` when another build satisfies its range."""

    def parse_config_files(self, *args, **kwargs):
        """Read the configuration and adjust the requirements."""
        super().parse_config_files(*args, **kwargs)
        wanted = [r for r in self.install_requires if r.startswith("tensorflow>=")]
        minimum = tuple(map(int, wanted[0].split(">=")[1].split(".")[:2]))
        if other_builds(minimum):
            self.install_requires = [r for r in self.install_requires if r not in wanted]


setup(distclass=KerasvisionDistribution)
