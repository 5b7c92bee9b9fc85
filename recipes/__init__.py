"""Recipes: whole trainings as one function each, and the run folder that they leave."""

from kerasvision._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    names={
        "DegradationStudy": "degradation_study",
        "DetectorRun": "detection_run",
        "EmbedderRun": "embedding_run",
        "ExportedClassifier": "exported",
        "ExportedDetector": "exported",
        "ExportedEmbedder": "exported",
        "ExportedSegmenter": "exported",
        "FoundBoxes": "found_boxes",
        "FoundLabels": "found_labels",
        "LesionStudy": "lesion_results",
        "Prediction": "predicting",
        "Run": "run",
        "SegmenterRun": "segmentation_run",
        "degradation": "degradation_problem",
        "demo": "digits_demo",
        "lesion_study": "lesions",
        "Verified": "verified",
        "open_exported": "exported",
        "train_classifier": "transfer_learning",
        "train_detector": "detection",
        "train_face_embedder": "embedding",
        "train_segmenter": "segmentation",
    },
)
