"""Self-contained HTML reports: no script, no network, readable on a phone, on paper and by screen readers."""

from kerasvision._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    names={
        "Mistake": "page",
        "ReportInput": "page",
        "classifier_page": "page",
        "notebook_summary": "page",
    },
)
