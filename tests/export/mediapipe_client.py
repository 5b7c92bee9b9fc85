"""Let MediaPipe's ImageClassifier answer: run as a program, because it can hang after an error.

Usage: python mediapipe_client.py IMAGES.npy ANSWERS.json MODEL.tflite...
"""

import json
import sys

import numpy as np


def main(images: str, answers: str, *files: str) -> None:
    """Write file -> for each image a list of [index, label, score], best first."""
    import mediapipe as mp
    from mediapipe.tasks import python as tasks
    from mediapipe.tasks.python import vision

    found = {}
    for file in files:
        options = vision.ImageClassifierOptions(base_options=tasks.BaseOptions(model_asset_path=file))
        classifier = vision.ImageClassifier.create_from_options(options)
        found[file] = []
        for pixels in np.load(images):
            image = mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(pixels))
            categories = classifier.classify(image).classifications[0].categories
            found[file].append([[c.index, c.category_name, c.score] for c in categories])
        classifier.close()
    with open(answers, "w") as stream:
        json.dump(found, stream)


if __name__ == "__main__":
    main(*sys.argv[1:])
