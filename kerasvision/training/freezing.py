"""What is trained: the head, the last stages, or everything; and what BatchNorm does meanwhile."""

from collections.abc import Collection

from kerasvision.errors import KerasvisionError

HEAD = ("head_pool", "head_dropout", "predictions")


def set_trainable(
    model, part: str | int = "all", *, batchnorm: str = "frozen", head: Collection[str] = HEAD
) -> None:
    """Set the `trainable` flag of every layer of a flat model.

    Args:
        model: a flat `keras.Model`, as `kerasvision.models.classifier` makes it.
        part: `"head"`, `"all"`, or a number N: the head and the last N stages of the backbone.
        batchnorm: `"frozen"`: BatchNorm layers are not trained and run in inference mode, so their
            statistics stay (in Keras 3 the flag on the layer itself does both; `base(x, training=False)`
            alone would not protect the statistics of a model that is unfrozen). `"train"`: they are
            trained as the layers around them, and their statistics move.
        head: names of the layers of the head.

    Raises:
        KerasvisionError: another value.
    """
    _check_batchnorm(batchnorm)
    import keras

    chosen = _chosen(model, part, head)
    model.trainable = True
    for layer in model.layers:
        frozen_norm = batchnorm == "frozen" and isinstance(layer, keras.layers.BatchNormalization)
        layer.trainable = layer.name in chosen and not frozen_norm


def set_backbone_trainable(
    model, backbone: Collection[str], trainable: bool, *, batchnorm: str = "frozen"
) -> None:
    """Set the `trainable` flags of a network whose heads have layers, and BatchNorm, of their own.

    The layers of the heads are always trained, their BatchNorm too: it begins without any statistics.

    Args:
        model: a flat `keras.Model`, as that of a `kerasvision.detection.Detector`.
        backbone: names of the layers of the backbone.
        trainable: whether these are trained.
        batchnorm: of the backbone, as for `set_trainable`. In a backbone that is not trained it stays in any
            case.

    Raises:
        KerasvisionError: another value.
    """
    _check_batchnorm(batchnorm)
    import keras

    inside = set(backbone)
    model.trainable = True
    for layer in model.layers:
        norm = isinstance(layer, keras.layers.BatchNormalization)
        keeps = layer.name in inside and (not trainable or (norm and batchnorm == "frozen"))
        layer.trainable = not keeps


def _check_batchnorm(batchnorm: str) -> None:
    if batchnorm not in ("frozen", "train"):
        raise KerasvisionError(f'`batchnorm` must be "frozen" or "train". Received: {batchnorm!r}.')


def _chosen(model, part: str | int, head: Collection[str]) -> set[str]:
    if part == "head":
        return set(head)
    if part == "all":
        return {layer.name for layer in model.layers}
    if isinstance(part, bool) or not isinstance(part, int) or part < 1:
        raise KerasvisionError(
            f'`finetune_stages` must be "all", "head" or a number of stages from 1 on. Received: {part!r}.'
        )
    from kerasvision.models import stages

    *groups, _ = stages(model)  # the last list is what follows the last feature map
    if part > len(groups):
        raise KerasvisionError(
            f'`finetune_stages` is {part}, but `{model.name}` has {len(groups)} stages. Give "all" or '
            f"a number up to {len(groups)}."
        )
    return {name for names in groups[-part:] for name in names} | set(head)
