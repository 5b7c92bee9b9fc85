"""Show what in a picture a network looked at, and what its modules are good for."""

from kerasvision._lazy import attach

# The module is `grad_cam`: one called `gradcam` would take the place of the function once it is imported.
__getattr__, __dir__, __all__ = attach(
    __name__,
    names={
        "PlainModule": "plain",
        "ResidualModule": "residual",
        "gradcam": "grad_cam",
        "plain_modules": "lesion",
        "residual_modules": "lesion",
        "without": "lesion",
    },
)
