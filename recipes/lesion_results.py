"""What a study of lesions leaves: its values, read from `results.json`."""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from kerasvision.errors import KerasvisionError, RunError
from kerasvision.explain.lesion_values import DeleteEach, DeleteRandom, Permuted
from kerasvision.explain.paths import EffectivePaths, PathGradients, effective_path_lengths
from kerasvision.files import read_json, write_json
from kerasvision.recipes.run_folder import plain

FORMAT, KIND, RESULTS = 1, "lesions", "results.json"


@dataclass(frozen=True)
class LesionStudy:
    """A study in its folder. Make one with `lesion_study`, or open one with `LesionStudy(folder)`.

    Attributes:
        folder: where `results.json`, `report.html` and the plots lie.
    """

    folder: Path

    @cached_property
    def results(self) -> dict:
        """What `results.json` holds."""
        return read_results(self.folder)

    @property
    def each(self) -> DeleteEach:
        """Errors without each module."""
        return DeleteEach.from_dict(self._part("each"))

    @property
    def random(self) -> DeleteRandom | None:
        """Errors without several random modules; None where none were asked for."""
        parts = self._numbered("random")
        if not parts:
            return None
        counts = [row for part in parts for row in part["counts"]]
        return DeleteRandom.from_dict({**parts[0], "counts": counts})

    @property
    def permuted(self) -> Permuted | None:
        """Errors with modules in another order; None for networks in which none can change places."""
        parts = self._numbered("permuted")
        if not parts:
            return None
        rows = [row for part in parts for row in part["permutations"]]
        return Permuted.from_dict({**parts[0], "permutations": rows})

    @property
    def gradients(self) -> PathGradients | None:
        """Gradients by path length; None for a plain network, which has one path."""
        part = self.results["parts"].get("gradients")
        return PathGradients.from_dict(part) if part else None

    @property
    def effective(self) -> EffectivePaths | None:
        """Path lengths that the gradient comes from."""
        gradients = self.gradients
        return effective_path_lengths(gradients) if gradients else None

    def _part(self, name: str) -> dict:
        return self.results["parts"][name]

    def _numbered(self, name: str) -> list[dict]:
        return [part for key, part in self.results["parts"].items() if key.startswith(f"{name} ")]

    def __repr__(self):
        from kerasvision.recipes.lesions_page import findings

        return f"LesionStudy({os.fspath(self.folder)!r}): {' '.join(findings(self))}"

    def _repr_html_(self) -> str:
        from kerasvision.recipes.lesions_page import notebook_view

        return notebook_view(self)


def read_results(folder: str | os.PathLike) -> dict:
    """Return `results.json` of a study.

    Raises:
        RunError: there is none, or it is of another kind or a newer format.
    """
    path = Path(folder) / RESULTS
    if not path.is_file():
        raise RunError(f"{folder} holds no lesion study: it has no {RESULTS}.")
    try:
        state = read_json(path)
    except KerasvisionError as error:
        raise RunError(f"{error} Choose another folder (`out`).") from None
    if not isinstance(state, dict) or state.get("kind") != KIND:
        raise RunError(f"{path} is not that of a lesion study. Choose another folder (`out`).")
    if state.get("format", 0) > FORMAT:
        raise RunError(
            f"{path} has format {state['format']}, this version reads up to {FORMAT}. Update kerasvision."
        )
    return state


def write_results(folder: Path, state: dict) -> None:
    """Write `results.json`."""
    write_json(folder / RESULTS, plain(state))
