"""Rows of the table: residual networks and the plain ones that they are compared with."""

from functools import partial

from kerasvision.models.model_entry import KERAS_PAGE, ModelEntry

PAPER = "https://arxiv.org/abs/1512.03385"

imagenet = partial(ModelEntry, native_size=224, minimum_size=32, year=2015, paper=PAPER)
keras_form = partial(imagenet, preprocessing="caffe", weights=("imagenet",), accuracy_source=KERAS_PAGE)
cifar = partial(ModelEntry, native_size=32, minimum_size=8, preprocessing="torch", classes=10)
deep = partial(cifar, year=2015, paper=PAPER)
# Table 6 of the paper: for ResNet-110 the best of five runs.
measured = partial(deep, accuracy_source=f"{PAPER}, table 6")

ROWS = (
    keras_form("resnet50", "resnet:ResNet50", parameters=25_636_712, top_1=74.9, top_5=92.1),
    keras_form("resnet101", "resnet:ResNet101", parameters=44_707_176, top_1=76.4, top_5=92.8),
    keras_form("resnet152", "resnet:ResNet152", parameters=60_419_944, top_1=76.6, top_5=93.1),
    deep("plainnet20", "resnet_cifar:PlainNet20", parameters=271_098),
    deep("plainnet56", "resnet_cifar:PlainNet56", parameters=857_082),
    measured("resnet20", "resnet_cifar:ResNet20", parameters=271_098, top_1=91.25),
    measured("resnet32", "resnet_cifar:ResNet32", parameters=466_426, top_1=92.49),
    measured("resnet44", "resnet_cifar:ResNet44", parameters=661_754, top_1=92.83),
    measured("resnet56", "resnet_cifar:ResNet56", parameters=857_082, top_1=93.03),
    measured("resnet110", "resnet_cifar:ResNet110", parameters=1_736_058, top_1=93.57),
    measured("resnet1202", "resnet_cifar:ResNet1202", parameters=19_512_042, top_1=92.07),
)
