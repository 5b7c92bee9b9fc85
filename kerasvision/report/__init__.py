"""Self-contained HTML reports: no script, no network, readable on a phone, on paper and by screen readers."""

from kerasvision._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    names={
        "DetectionReportInput": "detection_page",
        "DetectionScene": "detection_page",
        "DistanceHistogram": "embedding_page",
        "EmbeddingMap": "embedding_page",
        "EmbeddingReportInput": "embedding_page",
        "JudgedPair": "embedding_page",
        "LabelScene": "segmentation_page",
        "Mistake": "page",
        "ReportInput": "page",
        "SegmentationReportInput": "segmentation_page",
        "classifier_page": "page",
        "detection_summary": "detection_page",
        "detector_page": "detection_page",
        "draw_boxes": "box_pictures",
        "draw_labels": "mask_pictures",
        "embedder_page": "embedding_page",
        "embedding_summary": "embedding_page",
        "notebook_summary": "page",
        "segmentation_summary": "segmentation_page",
        "segmenter_page": "segmentation_page",
    },
)
