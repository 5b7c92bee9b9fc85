"""Rows of the table: residual networks and the plain ones that they are compared with."""

from functools import partial

from kerasvision.models.model_entry import KERAS_PAGE, ModelEntry

PAPER = "https://arxiv.org/abs/1512.03385"

imagenet = partial(ModelEntry, native_size=224, minimum_size=32, year=2015, paper=PAPER)
keras_form = partial(imagenet, preprocessing="caffe", weights=("imagenet",), accuracy_source=KERAS_PAGE)

ROWS = (
    keras_form("resnet50", "resnet:ResNet50", parameters=25_636_712, top_1=74.9, top_5=92.1),
    keras_form("resnet101", "resnet:ResNet101", parameters=44_707_176, top_1=76.4, top_5=92.8),
    keras_form("resnet152", "resnet:ResNet152", parameters=60_419_944, top_1=76.6, top_5=93.1),
)
