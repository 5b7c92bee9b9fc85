"""Weights from the Hugging Face hub: `hf://owner/name` and `hf://owner/name/file`.

The package huggingface_hub is imported when it is needed; it keeps what it fetched in its cache (`HF_HOME`)
and honours `HF_HUB_OFFLINE`.
"""

import json
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

from kerasvision.errors import WeightsError, require
from kerasvision.models.preprocessing import Normalization, mode_of
from kerasvision.progress import say

SCHEME = "hf://"
# Looked for in this order where no file is named.
FILES = ("model.safetensors", "pytorch_model.bin")
# file -> keys of the mean and of the deviation; timm has them in `pretrained_cfg` of the first
CONFIGS = {"config.json": ("mean", "std"), "preprocessor_config.json": ("image_mean", "image_std")}


def fetch(source: str) -> tuple[Path, str | Normalization | None]:
    """Return the file of a repository, fetched or from the cache, and what its weights expect of pixels.

    Args:
        source: `hf://owner/name` or `hf://owner/name/file`.

    Returns:
        Path in the cache, and the preprocessing that the configuration beside it states, or `None`.

    Raises:
        WeightsError: no such repository or file, no connection, or no access.
        MissingPackageError: huggingface_hub is not installed.
    """
    repository, file = _parts(source)
    hub = require("huggingface_hub", extra="hub", purpose=f"Fetching {source}")
    wanted = (file,) if file else FILES
    place = _Repository(hub, source, repository)
    path = next((path for name in wanted if (path := place.get(name))), None)
    if path is None:
        names = " and no ".join(wanted)
        raise WeightsError(
            f"{source}: there is no connection to the hub, and its cache (HF_HOME) has no {names} of this "
            "repository. Connect once, or fetch the file by hand and give its path."
            if place.offline
            else f"{source}: the repository has no {names}. Name the file: {SCHEME}{repository}/FILE."
        )
    folder = f"{file.rpartition('/')[0]}/" if file and "/" in file else ""
    notes = (place.get(folder + name) for name in CONFIGS)
    mode = next((mode for note in notes if note and (mode := _noted(note)) is not None), None)
    if mode is None and place.offline:
        say(
            f"{source}: there is no connection to the hub, and its cache has no {' or '.join(CONFIGS)}, so "
            "pixels are prepared as is usual for this network. Connect once, or state `preprocessing`."
        )
    return path, mode


@dataclass
class _Repository:
    """A repository of the hub.

    Attributes:
        hub: the package huggingface_hub.
        source, name: as the user wrote it, and `owner/name`.
        offline: whether the hub was out of reach; then only the cache is asked, without trying for long.
    """

    hub: ModuleType
    source: str
    name: str
    offline: bool = False

    def get(self, file: str) -> Path | None:
        """Return a file; `None` if the repository has none of this name, or the cache has not, offline."""
        errors = import_module("huggingface_hub.errors")
        try:
            return Path(self.hub.hf_hub_download(self.name, file, local_files_only=self.offline))
        except errors.LocalEntryNotFoundError:
            self.offline = True
            return None
        except errors.EntryNotFoundError:
            return None
        except (errors.RepositoryNotFoundError, errors.GatedRepoError) as error:
            raise WeightsError(
                f"{self.source}: there is no public repository {self.name!r} on the hub, or it needs a "
                "login. Check the name; for private and gated ones run `hf auth login`."
            ) from error
        except (errors.HfHubHTTPError, errors.HFValidationError, OSError) as error:
            raise WeightsError(f"{self.source} cannot be fetched: {_first_line(error)}") from error


def noted_beside(path: Path) -> str | Normalization | None:
    """Return the preprocessing that the configuration beside a file states, as in a copy of a repository."""
    if path.name not in FILES:
        return None
    notes = (path.parent / name for name in CONFIGS)
    return next((mode for note in notes if note.is_file() and (mode := _noted(note)) is not None), None)


def _parts(source: str) -> tuple[str, str | None]:
    owner, _, rest = source.removeprefix(SCHEME).partition("/")
    name, _, file = rest.partition("/")
    if not owner or not name:
        raise WeightsError(
            f"`source` must be 'hf://owner/name' or 'hf://owner/name/file'. Received: {source!r}."
        )
    return f"{owner}/{name}", file or None


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]


def _noted(path: Path) -> str | Normalization | None:
    try:
        notes = json.loads(path.read_text(encoding="utf-8"))
        notes = notes.get("pretrained_cfg", notes)
        mean, deviation = (notes.get(key) for key in CONFIGS[path.name])
    except (ValueError, AttributeError):
        return None
    if mean is None or deviation is None:
        return None
    try:
        return mode_of(mean, deviation)
    except (ValueError, TypeError) as error:
        raise WeightsError(
            f"{path} states {error} for pixels, which cannot be. Correct or delete it."
        ) from None
