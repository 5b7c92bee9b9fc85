"""A cache folder of its own for each test, and small pictures."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from voc_text import voc_object


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("KERASVISION_CACHE", str(folder))
    return folder


@pytest.fixture
def photo():
    """Return a function that draws a smooth, noisy picture with different corners, (h, w, 3) uint8."""

    def draw(height: int = 48, width: int = 64, seed: int = 0, noise: float = 6.0) -> np.ndarray:
        rng = np.random.default_rng(seed)
        coarse = Image.fromarray(rng.integers(20, 236, (5, 6, 3), np.uint8))
        smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.float32)
        return np.clip(smooth + rng.normal(0, noise, smooth.shape), 0, 255).astype(np.uint8)

    return draw


@pytest.fixture
def class_folder(tmp_path, photo):
    """Return a function that makes a folder `{name: number of images}` of 32-pixel PNGs."""

    def make(classes: dict[str, int], root: Path | None = None, suffix: str = ".png") -> Path:
        root = root or tmp_path / "photos"
        for number, (name, count) in enumerate(classes.items()):
            (root / name).mkdir(parents=True, exist_ok=True)
            for i in range(count):
                pixels = photo(24, 32, seed=1000 * number + i)
                Image.fromarray(pixels).save(root / name / f"{i:03d}{suffix}")
        return root

    return make


@pytest.fixture
def voc_folder(tmp_path, photo):
    """Return a function that makes a Pascal VOC folder of `{name: [(label, xmin, ymin, xmax, ymax), …]}`."""

    def make(images: dict, root: Path | None = None, size=(48, 64), splits: dict | None = None) -> Path:
        root = root or tmp_path / "voc"
        for part in ("JPEGImages", "Annotations", "ImageSets/Main"):
            (root / part).mkdir(parents=True, exist_ok=True)
        for number, (name, boxes) in enumerate(images.items()):
            Image.fromarray(photo(*size, seed=number)).save(root / "JPEGImages" / f"{name}.png")
            objects = "".join(voc_object(*box) for box in boxes)
            (root / "Annotations" / f"{name}.xml").write_text(
                f"<annotation><filename>{name}.png</filename><size><width>{size[1]}</width>"
                f"<height>{size[0]}</height><depth>3</depth></size>{objects}</annotation>"
            )
        for split, names in (splits or {}).items():
            (root / "ImageSets/Main" / f"{split}.txt").write_text("\n".join(names) + "\n")
        return root

    return make
