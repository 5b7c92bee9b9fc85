"""Let MediaPipe's ImageSegmenter answer: run as a program, because it can hang after an error.

Usage: python mediapipe_segmenter_client.py IMAGES.npy ANSWERS.npz MODEL.tflite...
"""

import sys

import numpy as np


def main(images: str, answers: str, *files: str) -> None:
    """Write, for the file of number i, `category_<i>` (n, h, w), `confidence_<i>` and `labels_<i>`."""
    import mediapipe as mp
    from mediapipe.tasks import python as tasks
    from mediapipe.tasks.python import vision

    found = {}
    for index, file in enumerate(files):
        options = vision.ImageSegmenterOptions(
            base_options=tasks.BaseOptions(model_asset_path=file),
            output_category_mask=True,
            output_confidence_masks=True,
        )
        segmenter = vision.ImageSegmenter.create_from_options(options)
        category, confidence = [], []
        for pixels in np.load(images):
            image = mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(pixels))
            result = segmenter.segment(image)
            category.append(np.squeeze(result.category_mask.numpy_view()).copy())
            masks = [np.squeeze(mask.numpy_view()).copy() for mask in result.confidence_masks]
            confidence.append(np.stack(masks, -1))
        found[f"category_{index}"], found[f"confidence_{index}"] = np.stack(category), np.stack(confidence)
        found[f"labels_{index}"] = np.array(segmenter.labels)
        segmenter.close()
    np.savez(answers, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
