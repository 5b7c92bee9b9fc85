"""What a detector is: a graph from pixels to raw outputs, a head that reads them, and how it was built."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import keras


class Head(Protocol):
    """How the raw outputs of a network are read as boxes, and how they are trained.

    Heads are frozen dataclasses of numbers; anchors are numpy arrays, because an eager tensor would become
    an input without a value in an ONNX file.
    """

    def decode(self, outputs: Mapping):
        """Return boxes and scores of raw outputs, with operations that TFLite and ONNX have.

        Args:
            outputs: name -> raw output, (b, …) float32.

        Returns:
            boxes (b, n, 4) float32, xyxy in pixels of the network's input, not clipped to it; scores
            (b, n, classes) float32 in [0, 1].
        """
        ...

    def losses(self, outputs: Mapping, boxes, classes, crowd) -> dict:
        """Return the parts of the loss, weights inside, one value an image.

        Args:
            outputs: name -> raw output, (b, …) float32.
            boxes: (b, m, 4) float32, xyxy in pixels of the network's input.
            classes: (b, m) int32, -1 is padding.
            crowd: (b, m) bool: such boxes are not matched, and places inside one are not background.

        Returns:
            name -> (b,) float32, finite for every input. The loss of the batch is the mean over b of the sum
            of the parts.
        """
        ...


@dataclass(frozen=True)
class DetectorSpec:
    """How a detector was built; `build(spec)` gives the same architecture again.

    Attributes:
        name: one of `list_detectors()`.
        classes: number of classes.
        image_size: (height, width) in pixels.
        backbone: name of a network; `None` for the family's own; or, for a backbone of the user's own, its
            configuration: `{"config": what keras.saving.serialize_keras_object gives}`.
        preprocessing: mode of the pixels that the backbone expects, `None` for that of its weights.
        options: further arguments of the builder, numbers and strings.
    """

    name: str
    classes: int
    image_size: tuple[int, int]
    backbone: str | Mapping | None = None
    preprocessing: object = None
    options: Mapping = field(default_factory=dict)

    def to_dict(self) -> dict:
        """Return what JSON can hold."""
        backbone = dict(self.backbone) if isinstance(self.backbone, Mapping) else self.backbone
        return {
            "name": self.name,
            "classes": self.classes,
            "image_size": list(self.image_size),
            "backbone": backbone,
            "preprocessing": self.preprocessing,
            "options": dict(self.options),
        }

    @classmethod
    def from_dict(cls, values: Mapping) -> "DetectorSpec":
        """Return the spec that `to_dict` described."""
        return cls(**{**values, "image_size": tuple(values["image_size"])})


@dataclass(frozen=True, eq=False)
class Detector:
    """A network that finds boxes.

    Attributes:
        model: one flat graph: `image`, (b, height, width, 3) raw RGB in [0, 255], -> dict of raw outputs,
            float32: `box_<level>` and `class_<level>` (and `object_<level>` where there is one), apart from
            each other, because one int8 scale cannot serve both; class outputs are logits.
        head: how these outputs are read and trained.
        spec: how it was built.
        backbone_layers: names of the layers of `model` that belong to the backbone, for freezing.
    """

    model: keras.Model
    head: Head
    spec: DetectorSpec
    backbone_layers: tuple[str, ...] = ()

    def decode(self, outputs: Mapping):
        """Return boxes (b, n, 4) float32, xyxy in pixels of the input, and scores (b, n, classes)."""
        return self.head.decode(outputs)
