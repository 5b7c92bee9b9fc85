"""Networks that give each pixel a class, and what they are trained by."""

from kerasvision._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    names={
        "convolutionalize": "convolutional",
        "class_weights": "segmentation_losses",
        "list_segmenters": "building",
        "make_loss": "segmentation_losses",
        "segmenter": "building",
    },
)
