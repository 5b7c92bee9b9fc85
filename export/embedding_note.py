"""The note for the app developer that lies beside the exported files of an embedder."""

from collections.abc import Sequence

from kerasvision.data.alignment import POINTS
from kerasvision.export.app_note import FORMAT_NOTES, PILLOW, RESIZE
from kerasvision.export.embedding_source import EmbeddingSource
from kerasvision.export.placing import ExportedFile

# Of two vectors a and b.
_IN_WORDS = {
    "euclidean": "the square root of the sum of the squared differences",
    "squared": "the sum of the squared differences",
    "cosine": "1 less the cosine: the sum of the products, divided by both lengths",
}
_IN_NUMPY = {
    "euclidean": "np.linalg.norm(a - b)",
    "squared": "np.square(a - b).sum()",
    "cosine": "1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b)",
}
_IN_KOTLIN = {
    "euclidean": "sqrt(a.zip(b) { x, y -> (x - y) * (x - y) }.sum())",
    "squared": "a.zip(b) { x, y -> (x - y) * (x - y) }.sum()",
    "cosine": "1 - a.zip(b) { x, y -> x * y }.sum() / "
    "sqrt(a.map { it * it }.sum() * b.map { it * it }.sum())",
}
_THRESHOLD = """The threshold belongs to these files: it means nothing for the vectors of another model. What
becomes of true and false accepts at it in each file is in the table below. It is also in `embedding.json`,
and in the files themselves.
"""
_COLUMNS = (
    "file",
    "for",
    "size",
    "cosine with the model's vectors, mean (least)",
    "true accepts, model -> file",
    "false accepts, model -> file",
)


def embedding_note(source: EmbeddingSource, exported: Sequence[ExportedFile]) -> str:
    """Return README.md: the input, the output, how to compare, the files with their figures, and code.

    Args:
        source: what the files were made from.
        exported: the files.
    """
    formats = {file.format for file in exported}
    tflite = [file for file in exported if file.format == "tflite"]
    parts = [
        _introduction(source),
        *([_alignment(source)] if source.preprocessing.alignment else []),
        _comparing(source),
        _table(exported),
        *([_tflite_code(tflite[-1].path.name, source)] if tflite else []),
        *([_saved_model_code(source)] if "saved_model" in formats else []),
        *([_ONNX_CODE] if "onnx" in formats else []),
    ]
    return "\n".join(parts)


def _introduction(source: EmbeddingSource) -> str:
    height, width = source.preprocessing.image_size
    photo = (
        f"A photo of another size is {RESIZE[source.preprocessing.resize]}, with bilinear\n"
        "interpolation *and antialiasing*."
        if source.preprocessing.alignment is None
        else "It shows one face, turned and scaled as described below: a photo that is only resized gives "
        "vectors\nthat mean nothing."
    )
    return f"""# {source.name}: an embedder

**Input**: one photo of {width} x {height} pixels (width x height), RGB, values from 0 to 255 as they are,
uint8 for the int8 TFLite file and float32 for all others.
Scaling is inside the model: do not divide by 255, do not subtract a mean.
{photo}
It must be upright: apply the EXIF orientation before.

**Output**: `embedding`, {source.dimensions} numbers, float32: a vector that is near those of other photos of
the same person or thing, and far from those of others.
"""


def _alignment(source: EmbeddingSource) -> str:
    facts = source.facts["alignment"]
    rows = [f"| {name} | {x:.2f} | {y:.2f} |" for name, (x, y) in zip(POINTS, facts["points"], strict=False)]
    table = "\n".join(["| point | x | y |", "|---|---|---|", *rows])
    return f"""## Alignment

The model was trained on faces aligned to the template `{facts["template"]}`. The app finds these points with
a face detector, and turns, scales and moves the photo, without shearing or mirroring it, so that they come as
near as they can to these pixels of the input, 0 at the centre of the first pixel (left is left in the photo):

{table}

```python
import numpy as np
from PIL import Image


def aligned(photo, landmarks, side={source.preprocessing.image_size[0]}):
    \"\"\"Cut out a face; `landmarks` are x and y in pixels of the photo, in the order of the table.\"\"\"
    points = {facts["points"]}
    p, q = (np.asarray(place, float) @ [1, 1j] + 0.5 + 0.5j for place in (landmarks, points))
    back = np.vdot(p - p.mean(), p - p.mean()).real / np.vdot(p - p.mean(), q - q.mean())
    start = p.mean() - back * q.mean()  # from the input to the photo: back * z + start
    small = [max(1, round(length * min(1, 1 / abs(back)))) for length in photo.size]  # against aliasing
    across, down = small[0] / photo.width, small[1] / photo.height
    rows = (back.real, -back.imag, start.real), (back.imag, back.real, start.imag)
    rows = [across * value for value in rows[0]] + [down * value for value in rows[1]]
    return photo.resize(small, Image.BILINEAR).transform((side, side), Image.AFFINE, rows, Image.BILINEAR)
```
"""


def _comparing(source: EmbeddingSource) -> str:
    text = f"""## Comparing two vectors

The distance is {source.distance}: {_IN_WORDS[source.distance]}.
Compare vectors of one and the same file only. Those of a quantised file, or of another model, lie elsewhere:
enrol all people again when you change the file.
"""
    if source.threshold is None:
        return text + "\nNo threshold was chosen for this model: choose one on pairs of photos of your own.\n"
    text += f"""
**Threshold: {source.threshold:.6g}**. Two photos with a distance of at most this are called the same.
"""
    if source.false_accept_rate is not None:
        text += f"""It was chosen so that of the pairs of photos of two different people or things
{source.false_accept_rate:.2%} are called the same by mistake, on photos like those it was validated on.
A photo that is compared with many people has that chance with each of them.
"""
    return text + _THRESHOLD


def _table(exported: Sequence[ExportedFile]) -> str:
    rows = [f"| {' | '.join(_COLUMNS)} |", f"|{'---|' * len(_COLUMNS)}"]
    for file in exported:
        proof = file.certificate
        true = _change(proof.true_accepts_model, proof.true_accepts_file, 1)
        false = _change(proof.false_accepts_model, proof.false_accepts_file, 2)
        rows.append(
            f"| `{file.path.name}` | {FORMAT_NOTES[file.format]} | {file.size / 1e6:.2f} MB "
            f"| {proof.mean_cosine:.5f} ({proof.least_cosine:.5f}) | {true} | {false} |"
        )
    note = (
        "Each file was compared with the trained model on held-out images; the whole comparison is in its "
        "`.certificate.json`.\n"
    )
    return "\n".join([*rows, "", note])


def _change(before: float | None, after: float | None, digits: int) -> str:
    return "" if before is None else f"{before:.{digits}%} -> {after:.{digits}%}"


def _tflite_code(name: str, source: EmbeddingSource) -> str:
    threshold = source.threshold
    verdict = (
        "print(distance)"
        if threshold is None
        else f'print("same" if distance <= {threshold!r} else "different")'
    )
    kotlin = "println(distance)" if threshold is None else f"val same = distance <= {threshold!r}"
    prepared = (
        f"photo = {PILLOW[source.preprocessing.resize]}"
        if source.preprocessing.alignment is None
        else "# photo: a face cut out as above, width x height"
    )
    return f"""## TFLite

MediaPipe stretches a photo to the input size by itself and without antialiasing: for vectors as good as the
certified ones, hand it the photo already prepared as described above. Leave its options `l2Normalize` and
`quantize` as they are, off.

Android (Kotlin, `com.google.mediapipe:tasks-vision`):

```kotlin
val options = ImageEmbedder.ImageEmbedderOptions.builder()
    .setBaseOptions(BaseOptions.builder().setModelAssetPath("{name}").build())
    .build()
val embedder = ImageEmbedder.createFromOptions(context, options)
fun embed(bitmap: Bitmap) =
    embedder.embed(BitmapImageBuilder(bitmap).build()).embeddingResult().embeddings()[0].floatEmbedding()
val (a, b) = listOf(embed(first), embed(second))
val distance = {_IN_KOTLIN[source.distance]}
{kotlin}
```

Python (`pip install ai-edge-litert numpy pillow`):

```python
import numpy as np
from PIL import Image, ImageOps
from ai_edge_litert.interpreter import Interpreter

run = Interpreter("{name}").get_signature_runner("serving_default")
details = run.get_input_details()["image"]
height, width = details["shape"][1:3]


def embed(file):
    photo = ImageOps.exif_transpose(Image.open(file)).convert("RGB")
    {prepared}
    return run(image=np.asarray(photo, details["dtype"])[None])["embedding"][0]


a, b = embed("first.jpg"), embed("second.jpg")
distance = {_IN_NUMPY[source.distance]}
{verdict}
```
"""


def _saved_model_code(source: EmbeddingSource) -> str:
    resizing = (
        "decodes and resizes by itself (JPEG, PNG, GIF, BMP), but does not read the EXIF\n"
        "orientation: turn photos upright before."
        if source.preprocessing.alignment is None
        else "decodes aligned faces (JPEG, PNG, GIF, BMP) of the size of the input; others are an\nerror."
    )
    return f"""## SavedModel

```python
import tensorflow as tf

loaded = tf.saved_model.load("saved_model")  # keep it: its functions die with it
photos = [open(name, "rb").read() for name in ("first.jpg", "second.jpg")]
a, b = loaded.serve_bytes(tf.constant(photos))["embedding"].numpy()
```

`serve_bytes` {resizing} `serve` takes arrays, (n, height, width, 3).
"""


_ONNX_CODE = """## ONNX

```python
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx")  # the name of the .onnx file beside this note
# pixels: float32 (n, height, width, 3), 0 to 255
(vectors,) = session.run(["embedding"], {"image": pixels})
```
"""
