"""Ship a trained classifier as files that are proved to answer like the Keras model."""

from kerasvision._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    names={
        "Certificate": "certificate",
        "ExportSource": "source",
        "ExportedFile": "placing",
        "Lint": "linting",
        "Metadata": "metadata",
        "Runner": "runners",
        "as_source": "source",
        "certify": "certificate",
        "lint": "linting",
        "open_file": "runners",
        "read_metadata": "metadata",
        "rehearse": "tflite",
        "to_tflite": "tflite",
    },
)
