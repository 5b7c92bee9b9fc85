"""kerasvision: fine-tune Keras vision models on your own photos and ship proved files to phones.

Submodules load on first use (PEP 562), so `import kerasvision` costs a few milliseconds and imports no
TensorFlow. Start at `kerasvision.recipes.train_classifier`.
"""

from pathlib import Path

from kerasvision._lazy import attach

__version__ = "0.1.0"

# In a checkout `recipes/` and `export/` lie beside this package; installed, they lie inside it.
_here = Path(__file__).resolve().parent
if not (_here / "recipes").is_dir():
    __path__.append(str(_here.parent))

__getattr__, __dir__, __all__ = attach(
    __name__,
    submodules=(
        "data",
        "detection",
        "embedding",
        "errors",
        "explain",
        "export",
        "metrics",
        "models",
        "recipes",
        "report",
        "segmentation",
        "training",
    ),
)
