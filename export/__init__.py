"""Ship a trained classifier or detector as files that are proved to answer like the Keras model."""

from kerasvision._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    names={
        "Bundle": "bundle",
        "Certificate": "certificate",
        "DetectionCertificate": "detection_certificate",
        "DetectionRunner": "detection_runner",
        "DetectionSource": "detection_source",
        "ExportSource": "source",
        "ExportedFile": "placing",
        "Latency": "latency",
        "Lint": "linting",
        "Metadata": "metadata",
        "Runner": "runners",
        "Selection": "detection_source",
        "as_source": "source",
        "benchmark": "latency",
        "certify": "certificate",
        "certify_detector": "detection_certificate",
        "export": "bundle",
        "export_detector": "detection_export",
        "lint": "linting",
        "open_file": "runners",
        "read_metadata": "metadata",
        "rehearse": "tflite",
        "rehearse_detector": "detection_graph",
        "to_onnx": "onnx",
        "to_saved_model": "saved_model",
        "to_tflite": "tflite",
        "verify": "verification",
    },
)
