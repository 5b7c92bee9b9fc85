"""Load submodules and their names on first use (PEP 562)."""

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module


def attach(
    package: str, *, submodules: Sequence[str] = (), names: Mapping[str, str] | None = None
) -> tuple[Callable, Callable, list[str]]:
    """Return `__getattr__`, `__dir__` and `__all__` for a package that loads its parts on first use.

    Args:
        package: `__name__` of the package.
        submodules: names that are submodules.
        names: public name -> submodule that defines it.

    A submodule must not bear the name of something public that it defines: importing it would put the
    module in the place of the thing.
    """
    names = dict(names or {})
    public = sorted({*submodules, *names})

    def __getattr__(name: str):
        if name in names:
            value = getattr(import_module(f"{package}.{names[name]}"), name)
        elif name in submodules:
            value = import_module(f"{package}.{name}")
        else:
            raise AttributeError(
                f"module {package!r} has no attribute {name!r}. It has: {', '.join(public)}."
            )
        setattr(sys.modules[package], name, value)
        return value

    def __dir__():
        return public

    return __getattr__, __dir__, public
