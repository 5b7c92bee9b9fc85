"""Networks that give each pixel a class, and what they are trained by."""

from kerasvision._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    names={
        "SegmenterSpec": "building",
        "auxiliary_weights": "building",
        "backbone_layers": "building",
        "build": "building",
        "class_weights": "segmentation_losses",
        "convolutionalize": "convolutional",
        "inference_model": "building",
        "list_segmenters": "families",
        "make_loss": "segmentation_losses",
        "segmenter": "building",
        "segmenter_spec": "building",
        "segmenter_table": "families",
    },
)
