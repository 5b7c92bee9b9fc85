"""Let MediaPipe's ObjectDetector answer: run as a program, because it can hang after an error.

Usage: python mediapipe_detector_client.py IMAGES.npy ANSWERS.json MODEL.tflite...
"""

import json
import sys

import numpy as np


def main(images: str, answers: str, *files: str) -> None:
    """Write file -> for each image a list of [xmin, ymin, width, height, label, score], best first."""
    import mediapipe as mp
    from mediapipe.tasks import python as tasks
    from mediapipe.tasks.python import vision

    found = {}
    for file in files:
        options = vision.ObjectDetectorOptions(base_options=tasks.BaseOptions(model_asset_path=file))
        detector = vision.ObjectDetector.create_from_options(options)
        found[file] = []
        for pixels in np.load(images):
            image = mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(pixels))
            rows = []
            for one in detector.detect(image).detections:
                box = one.bounding_box
                place = [box.origin_x, box.origin_y, box.width, box.height]
                # MediaPipe shows a box that was found as two classes once, with two categories.
                rows += [[*place, kind.category_name, kind.score] for kind in one.categories]
            found[file].append(sorted(rows, key=lambda row: -row[-1]))
        detector.close()
    with open(answers, "w") as stream:
        json.dump(found, stream)


if __name__ == "__main__":
    main(*sys.argv[1:])
