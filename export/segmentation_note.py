"""The note for the app developer that lies beside the exported files of a segmenter."""

from collections.abc import Sequence

from kerasvision.export.app_note import FORMAT_NOTES, PILLOW, RESIZE
from kerasvision.export.placing import ExportedFile
from kerasvision.export.segmentation_source import SegmentationSource

# How a label map of the resized image becomes one of the photo, both as Pillow images.
_BACK = {
    "stretch": "whole = mask.resize(original.size, Image.NEAREST)",
    "crop": """scale = min(original.width / width, original.height / height)
seen = round(width * scale), round(height * scale)  # the part of the photo that the input shows
whole = Image.new("L", original.size, 255)  # 255: not looked at
left, top = (original.width - seen[0]) // 2, (original.height - seen[1]) // 2
whole.paste(mask.resize(seen, Image.NEAREST), (left, top))""",
    "pad": """scale = min(width / original.width, height / original.height)
across, down = round(original.width * scale), round(original.height * scale)
left, top = (width - across) // 2, (height - down) // 2  # the black border
x, y = mask.width / width, mask.height / height
box = left * x, top * y, (left + across) * x, (top + down) * y
whole = mask.resize(original.size, Image.NEAREST, box=box)""",
}
# What files give, and the shape of it.
_SHAPES = {
    "probabilities": "`probabilities`, float32, n x {height} x {width} x {classes}: from 0 to 1",
    "logits": "`logits`, float32, n x {height} x {width} x {classes}: before the softmax",
    "labels": "`labels`, uint8, n x {height} x {width}: the most probable class of each pixel, from 0",
}


def segmentation_note(source: SegmentationSource, exported: Sequence[ExportedFile]) -> str:
    """Return README.md: the input, the output, the files with their figures, and code to start from.

    Args:
        source: what the files were made from.
        exported: the files.
    """
    formats = {file.format for file in exported}
    tflite = [file for file in exported if file.format == "tflite"]
    parts = [
        _introduction(source),
        _table(exported),
        *([_tflite_code(tflite[-1].path.name, source)] if tflite else []),
        *([_SAVED_MODEL_CODE] if "saved_model" in formats else []),
        *([_onnx_code(source)] if "onnx" in formats else []),
    ]
    return "\n".join(parts)


def _introduction(source: SegmentationSource) -> str:
    (height, width), labels = source.preprocessing.image_size, source.labels
    high, wide = source.output_size
    shape = _SHAPES[source.output].format(height=high, width=wide, classes=len(labels))
    rows = [f"| {index} | {label} |" for index, label in enumerate(labels)]
    table = "\n".join(["| value | class |", "|---|---|", *rows])
    return f"""# {source.name}: a segmenter

**Input**: one photo of {width} x {height} pixels (width x height), RGB, values from 0 to 255 as they are,
uint8 for the int8 TFLite file and float32 for all others.
Scaling is inside the model: do not divide by 255, do not subtract a mean.
A photo of another size is {RESIZE[source.preprocessing.resize]}, with bilinear
interpolation *and antialiasing*.
It must be upright: apply the EXIF orientation before.

**Output**, for n images (one in TFLite): {shape}.

The classes, in the order of `labels.txt`:

{table}
"""


def _table(exported: Sequence[ExportedFile]) -> str:
    rows = []
    for file in exported:
        proof = file.certificate
        scores = "" if proof.miou_file is None else f"{proof.miou_model:.3f} -> {proof.miou_file:.3f}"
        apart = "" if proof.max_difference is None else f"{proof.max_difference:.1e}"
        rows.append(
            f"| `{file.path.name}` | {FORMAT_NOTES[file.format]} | {file.size / 1e6:.2f} MB "
            f"| {proof.agreement:.2%} | {apart} | {scores} |"
        )
    head = [
        "| file | for | size | pixels with the model's class | largest difference of a probability "
        "| mean IoU, model -> file |",
        "|---|---|---|---|---|---|",
    ]
    note = (
        "Each file was compared with the trained model on held-out images; the whole comparison is in its "
        "`.certificate.json`.\n"
    )
    return "\n".join([*head, *rows, "", note])


def _tflite_code(name: str, source: SegmentationSource) -> str:
    resize = source.preprocessing.resize
    read = 'answer["labels"][0]' if source.output == "labels" else f'answer["{source.output}"][0].argmax(-1)'
    return f"""## TFLite

{_NO_MEDIAPIPE if source.output == "labels" else _mediapipe_code(name)}
Python (`pip install ai-edge-litert numpy pillow`):

```python
import numpy as np
from PIL import Image, ImageOps
from ai_edge_litert.interpreter import Interpreter

labels = open("labels.txt", encoding="utf-8").read().splitlines()
run = Interpreter("{name}").get_signature_runner("serving_default")
details = run.get_input_details()["image"]
height, width = map(int, details["shape"][1:3])
photo = original = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB")
photo = {PILLOW[resize]}
answer = run(image=np.asarray(photo, details["dtype"])[None])
mask = Image.fromarray({read}.astype(np.uint8))
{_BACK[resize]}
values, counts = np.unique(np.asarray(whole), return_counts=True)
for value, count in zip(values.tolist(), counts.tolist()):
    print(labels[value] if value < len(labels) else "not looked at", count)
whole.save("labels.png")
```
"""


def _mediapipe_code(name: str) -> str:
    return f"""The labels are inside the file. MediaPipe stretches a photo to the input size by itself and
without antialiasing: for masks as good as the certified ones, hand it the photo already resized as
described above. Its masks have the size of what it was handed.

Android (Kotlin, `com.google.mediapipe:tasks-vision`):

```kotlin
val options = ImageSegmenter.ImageSegmenterOptions.builder()
    .setBaseOptions(BaseOptions.builder().setModelAssetPath("{name}").build())
    .setOutputCategoryMask(true)
    .setOutputConfidenceMasks(false)
    .build()
val segmenter = ImageSegmenter.createFromOptions(context, options)
val mask = segmenter.segment(BitmapImageBuilder(bitmap).build()).categoryMask().get()
val values = ByteBufferExtractor.extract(mask)  // a byte a pixel, row by row
println(segmenter.labels[values.get(0).toInt() and 0xff])
```
"""


_NO_MEDIAPIPE = """MediaPipe's ImageSegmenter is not for this file: it takes the labels for floats and
answers nonsense without an error. Export with `output="probabilities"` for it. The names of the classes are
inside the file.
"""

_SAVED_MODEL_CODE = """## SavedModel

```python
import tensorflow as tf

loaded = tf.saved_model.load("saved_model")  # keep it: its functions die with it
labels = loaded.serve_photo(tf.constant(open("photo.jpg", "rb").read()))["labels"]  # in the photo's own size
tf.io.write_file("labels.png", tf.io.encode_png(labels[..., None]))
```

`serve_photo` takes one encoded photo (JPEG, PNG, GIF, BMP), resizes it by itself, and answers in the photo's
own size. `serve_bytes` takes several, and answers in the size stated above. Neither reads the EXIF
orientation: turn photos upright before. `serve` takes arrays, (n, height, width, 3).
"""


def _onnx_code(source: SegmentationSource) -> str:
    return f"""## ONNX

```python
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx")  # the name of the .onnx file beside this note
# pixels: float32 (n, height, width, 3), 0 to 255
(answer,) = session.run(["{source.output}"], {{"image": pixels}})
```
"""
