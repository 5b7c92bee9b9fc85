"""Build embedders: raw pixels in, a vector for each image out, on one flat graph."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import keras
from keras import layers

from kerasvision.embedding.families import NETWORKS, Network, known_name
from kerasvision.errors import KerasvisionError
from kerasvision.models.backbones import layers_before_head
from kerasvision.models.building import POOLING, check_backend, check_size
from kerasvision.models.heads import as_size, feature_maps
from kerasvision.models.loading import load_weights
from kerasvision.models.own_backbones import describe_backbone, described_backbone
from kerasvision.models.preprocessing import preprocess

HEAD = "head_"  # what the names of all layers after the backbone begin with, but for the last
EMBEDDING = "embedding"


@dataclass(frozen=True)
class EmbedderSpec:
    """How an embedder was built; `build(spec)` gives the same architecture again.

    Attributes:
        backbone: one of `list_embedders()`; or, for a backbone of the user's own, `{"config": what
            keras.saving.serialize_keras_object gives}`.
        image_size: (height, width) in pixels.
        dimensions: of the embedding; `None` for the pooled features themselves.
        l2_normalize: whether embeddings have length 1.
        pooling: of the feature maps, `"avg"` or `"max"`.
        dropout: fraction of features dropped in training.
        preprocessing: mode of the pixels that the backbone expects, `None` for that of its weights.
        backbone_options: arguments of the backbone's builder.
    """

    backbone: str | Mapping
    image_size: tuple[int, int]
    dimensions: int | None = 128
    l2_normalize: bool = True
    pooling: str = "avg"
    dropout: float = 0.0
    preprocessing: str | None = None
    backbone_options: Mapping = field(default_factory=dict)

    def to_dict(self) -> dict:
        """Return what JSON can hold."""
        return {**asdict(self), "image_size": list(self.image_size)}

    @classmethod
    def from_dict(cls, values: Mapping) -> "EmbedderSpec":
        """Return the spec that `to_dict` described."""
        return cls(**{**values, "image_size": tuple(values["image_size"])})


def embedder(
    backbone: str | keras.Model = "mobilenet_v2",
    *,
    dimensions: int | None = 128,
    image_size: int | tuple[int, int],
    weights: str | os.PathLike | None = None,
    l2_normalize: bool = True,
    pooling: str = "avg",
    dropout: float = 0.0,
    preprocessing: str | None = None,
    backbone_options: Mapping | None = None,
) -> keras.Model:
    """Build an embedder of raw RGB images on one flat graph.

    Args:
        backbone: one of `list_embedders()`, or your own functional backbone, which is copied with its
            weights.
        dimensions: of the embedding, 2 or more; `None` for the pooled features of the backbone themselves,
            which is what the paper of `deepface` does.
        image_size: side in pixels, or (height, width).
        weights: of the backbone: `None` (random, or those your own backbone has), `"imagenet"`, or a file.
        l2_normalize: give embeddings the length 1, so that distances have a fixed scale: the Euclidean one
            is from 0 to 2.
        pooling: of the feature maps, `"avg"` or `"max"`; `deepface` and `facenet_nn1` give vectors and have
            none.
        dropout: fraction of features dropped in training, before the projection to `dimensions`.
        preprocessing: what your own backbone expects of pixels, as for `kerasvision.models.classifier`.
        backbone_options: of the backbone's builder, for example `{"alpha": 0.35}`.

    Returns:
        A functional model: `image`, (b, height, width, 3), raw RGB in [0, 255] -> `embedding`,
        (b, dimensions) float32. It is made of Keras' own layers and operations only, so a saved file loads
        without this package.

    Raises:
        KerasvisionError: a number or a name that is not accepted.
        ValueError: the backbone is not known, or does not take images of this size.
        WeightsError: the weights cannot be fetched, or do not fit.

    >>> model = embedder("resnet_small", dimensions=64, image_size=32)
    >>> model.output_shape
    (None, 64)
    """
    spec = embedder_spec(
        backbone,
        dimensions=dimensions,
        image_size=image_size,
        l2_normalize=l2_normalize,
        pooling=pooling,
        dropout=dropout,
        preprocessing=preprocessing,
        backbone_options=backbone_options,
    )
    return _build(spec, weights, backbone if isinstance(backbone, keras.Model) else None)


def embedder_spec(
    backbone: str | keras.Model = "mobilenet_v2",
    *,
    dimensions: int | None = 128,
    image_size: int | tuple[int, int],
    l2_normalize: bool = True,
    pooling: str = "avg",
    dropout: float = 0.0,
    preprocessing: str | None = None,
    backbone_options: Mapping | None = None,
) -> EmbedderSpec:
    """Return the spec of what `embedder` builds of these arguments, without building it.

    Raises:
        KerasvisionError: a number or a name that is not accepted.
        ValueError: the backbone is not known.
    """
    own = isinstance(backbone, keras.Model)
    spec = EmbedderSpec(
        describe_backbone(backbone, preprocessing) if own else known_name(backbone),
        as_size(image_size),
        dimensions,
        l2_normalize,
        pooling,
        dropout,
        preprocessing,
        dict(backbone_options or {}),
    )
    check_spec(spec)
    return spec


def check_spec(spec: EmbedderSpec) -> None:
    """Refuse numbers and names that no embedder has, without building anything.

    Raises:
        KerasvisionError: saying what is accepted.
    """
    size = spec.dimensions
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 2):
        raise KerasvisionError(
            "`dimensions` must be a number from 2, 64 to 512 as a rule, or None for the pooled features "
            f"themselves. Received: {size!r}."
        )
    if spec.pooling not in POOLING:
        raise KerasvisionError(f"`pooling` must be 'avg' or 'max'. Received: {spec.pooling!r}.")
    if isinstance(spec.dropout, bool) or not 0 <= spec.dropout < 1:
        raise KerasvisionError(f"`dropout` must be a fraction from 0 to below 1. Received: {spec.dropout!r}.")


def build(spec: EmbedderSpec, weights: str | os.PathLike | None = None) -> keras.Model:
    """Build the embedder that a spec describes.

    Args:
        spec: of `embedder_spec`, or `EmbedderSpec.from_dict` of what a run folder holds.
        weights: of the backbone, as for `embedder`; to load those of a whole embedder, use `load_weights` of
            the model.
    """
    return _build(spec, weights, described_backbone(spec.backbone))


def backbone_layers(model: keras.Model) -> tuple[str, ...]:
    """Return the names of the layers of an embedder that belong to its backbone, for freezing.

    Args:
        model: what `embedder` returned (also after saving and loading).

    Returns:
        Names in the order of the model, preprocessing layers among them.
    """
    return layers_before_head(model, names=(EMBEDDING,), prefixes=(HEAD,))


def _build(spec: EmbedderSpec, weights, own: keras.Model | None) -> keras.Model:
    check_backend()
    check_spec(spec)
    image = layers.Input((*spec.image_size, 3), dtype="float32", name="image")
    if own is None and spec.backbone in NETWORKS:
        x = _features(NETWORKS[spec.backbone], image, spec, weights)
    else:
        x = feature_maps(
            spec.backbone if own is None else own,
            image,
            preprocessing=spec.preprocessing,
            weights=weights,
            **spec.backbone_options,
        )
    if len(x.shape) == 4:
        x = POOLING[spec.pooling](name=f"{HEAD}pool")(x)
    if spec.dropout:
        x = layers.Dropout(spec.dropout, name=f"{HEAD}dropout")(x)
    # float32 also under mixed precision: in bfloat16 near vectors become one.
    if spec.dimensions is not None:
        x = layers.Dense(spec.dimensions, dtype="float32", name=f"{HEAD}projection")(x)
    if spec.l2_normalize:
        x = layers.UnitNormalization(dtype="float32", name=EMBEDDING)(x)
    else:
        x = layers.Activation("linear", dtype="float32", name=EMBEDDING)(x)
    return keras.Model(image, x, name=spec.backbone if own is None else own.name)


def _features(network: Network, image, spec: EmbedderSpec, weights):
    """Return what a network of `NETWORKS` gives without its top: feature maps, or vectors."""
    if weights == "imagenet":
        raise KerasvisionError(
            f"`weights` must be None or a file: there are none of ImageNet for {spec.backbone!r}. "
            "Received: 'imagenet'. Choose a backbone that has some, for example 'mobilenet_v2'."
        )
    check_size(spec.image_size, network.minimum_size, "image_size")
    pixels = preprocess(image, spec.preprocessing or network.preprocessing)
    inside = network.builder(include_top=False, input_tensor=pixels, **spec.backbone_options)
    if weights is not None:
        load_weights(inside, weights, ignore=network.top_layers)
    return inside.outputs[0]
