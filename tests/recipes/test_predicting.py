"""What is predicted on is read the same way, however it is handed over."""

import io
import os

import numpy as np
import pytest
from PIL import Image

from kerasvision.data import Preprocessing, open_image
from kerasvision.data.gathering import gather
from kerasvision.errors import BadImageError, DataError
from kerasvision.recipes.predicting import probabilities


def encoded(image: Image.Image, kind: str = "PNG", **arguments) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **arguments)
    return stream.getvalue()


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(Image.effect_noise((24, 16), 80), "JPEG", exif=exif)


PICTURES = {
    "16-bit grey": encoded(Image.fromarray(np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16))),
    "transparent": encoded(Image.merge("RGBA", [Image.effect_noise((16, 16), 80) for _ in range(4)])),
    "palette": encoded(Image.effect_noise((16, 16), 80).quantize(8)),
    "print colours": encoded(
        Image.merge("CMYK", [Image.effect_noise((16, 16), 80) for _ in range(4)]), "JPEG"
    ),
    "turned": turned(),
}


@pytest.mark.parametrize("name", PICTURES)
def test_an_image_opened_with_pillow_is_read_like_its_file(name):
    content = PICTURES[name]
    (source,), _ = gather(Image.open(io.BytesIO(content)))
    np.testing.assert_array_equal(source, np.asarray(open_image(content)))


def test_a_damaged_image_opened_with_pillow_is_named(tmp_path):
    file = tmp_path / "cut.png"
    file.write_bytes(encoded(Image.effect_noise((64, 64), 80))[:600])
    with pytest.raises(BadImageError, match="cut.png: is damaged: .*truncated"):
        gather(Image.open(file))


def test_a_path_may_start_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.png").write_bytes(PICTURES["palette"])
    assert gather("~/a.png") == ([os.path.join(tmp_path, "a.png")], [os.path.join(tmp_path, "a.png")])


def test_other_ways_with_bad_files_are_refused():
    with pytest.raises(DataError, match='`on_bad_file` must be "raise" or "skip". Received: \'ignore\''):
        probabilities(len, Preprocessing(8), [b"x"], ["x"], on_bad_file="ignore")
