"""Ship a trained classifier as files that are proved to answer like the Keras model."""

from kerasvision._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    names={
        "Bundle": "bundle",
        "Certificate": "certificate",
        "ExportSource": "source",
        "ExportedFile": "placing",
        "Latency": "latency",
        "Lint": "linting",
        "Metadata": "metadata",
        "Runner": "runners",
        "as_source": "source",
        "benchmark": "latency",
        "certify": "certificate",
        "export": "bundle",
        "lint": "linting",
        "open_file": "runners",
        "read_metadata": "metadata",
        "rehearse": "tflite",
        "to_onnx": "onnx",
        "to_saved_model": "saved_model",
        "to_tflite": "tflite",
        "verify": "verification",
    },
)
