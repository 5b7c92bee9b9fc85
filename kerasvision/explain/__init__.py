"""Show what in a picture a network looked at, and what its modules are good for."""

from kerasvision._lazy import attach

# The module is `grad_cam`: one called `gradcam` would take the place of the function once it is imported.
__getattr__, __dir__, __all__ = attach(
    __name__,
    names={
        "DeleteEach": "lesion_values",
        "DeleteRandom": "lesion_values",
        "EffectivePaths": "paths",
        "PathGradients": "paths",
        "Permuted": "lesion_values",
        "PlainModule": "plain",
        "Pruned": "pruning",
        "PruningStep": "pruning",
        "ResidualModule": "residual",
        "Segments": "segments",
        "delete_each": "lesion_study",
        "delete_random": "lesion_study",
        "effective_path_lengths": "paths",
        "gradcam": "grad_cam",
        "gradient_by_path_length": "paths",
        "path_lengths": "paths",
        "permute": "lesion_study",
        "plain_modules": "lesion",
        "prune_blocks": "pruning",
        "residual_modules": "lesion",
        "without": "lesion",
    },
)
