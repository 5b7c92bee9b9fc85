"""Networks that find boxes: built, read, trained and used the same way, whatever their family.

`detector` builds one; `Detector.decode` and `select_boxes` turn its outputs into boxes, and `find` does all
of it on images.
"""

from kerasvision._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    names={
        "Detector": "detectors",
        "DetectorSpec": "detectors",
        "Head": "detectors",
        "build": "building",
        "detector": "building",
        "detector_table": "families",
        "find": "finding",
        "from_keras_cv": "keras_cv",
        "list_detectors": "families",
        "select_boxes": "nms",
    },
)
