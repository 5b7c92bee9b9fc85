"""Rows of the table: residual networks and the plain ones that they are compared with."""

from functools import partial

from kerasvision.models.model_entry import KERAS_PAGE, TORCHVISION_PAGE, ModelEntry

RESNET = "https://arxiv.org/abs/1512.03385"
IDENTITY = "https://arxiv.org/abs/1603.05027"
RESNEXT = "https://arxiv.org/abs/1611.05431"
WIDE = "https://arxiv.org/abs/1605.07146"

imagenet = partial(
    ModelEntry, native_size=224, minimum_size=32, preprocessing="torch", year=2015, paper=RESNET
)
keras_v1 = partial(imagenet, preprocessing="caffe", weights=("imagenet",), accuracy_source=KERAS_PAGE)
keras_v2 = partial(
    keras_v1,
    preprocessing="tf",
    year=2016,
    paper=IDENTITY,
)
torchvision = partial(imagenet, accuracy_source=TORCHVISION_PAGE)
v1_5 = partial(torchvision, options={"form": "torchvision"})
plain = partial(imagenet, accuracy_source=f"{RESNET}, table 2 (ten crops)")
cifar = partial(
    ModelEntry, native_size=32, minimum_size=8, preprocessing="torch", classes=10, year=2015, paper=RESNET
)
# For ResNet-110 the best of five runs; their mean is 93.39.
deep = partial(cifar, accuracy_source=f"{RESNET}, table 6")
preact = partial(cifar, year=2016, paper=IDENTITY, accuracy_source=f"{IDENTITY}, table 3")

ROWS = (
    plain(
        "plainnet18",
        "resnet:PlainNet18",
        parameters=11_523_496,
        multiply_adds=1_794_805_760,
        top_1=72.06,
    ),
    plain(
        "plainnet34",
        "resnet:PlainNet34",
        parameters=21_639_080,
        multiply_adds=3_644_493_824,
        top_1=71.46,
    ),
    torchvision(
        "resnet18",
        "resnet:ResNet18",
        parameters=11_699_112,
        multiply_adds=1_814_073_344,
        top_1=69.758,
        top_5=89.078,
        weights=("hf://timm/resnet18.tv_in1k",),
    ),
    torchvision(
        "resnet34",
        "resnet:ResNet34",
        parameters=21_814_696,
        multiply_adds=3_663_761_408,
        top_1=73.314,
        top_5=91.420,
        weights=("hf://timm/resnet34.tv_in1k",),
    ),
    keras_v1(
        "resnet50",
        "resnet:ResNet50",
        parameters=25_636_712,
        multiply_adds=3_857_973_248,
        top_1=74.9,
        top_5=92.1,
    ),
    keras_v1(
        "resnet101",
        "resnet:ResNet101",
        parameters=44_707_176,
        multiply_adds=7_570_194_432,
        top_1=76.4,
        top_5=92.8,
    ),
    keras_v1(
        "resnet152",
        "resnet:ResNet152",
        parameters=60_419_944,
        multiply_adds=11_282_415_616,
        top_1=76.6,
        top_5=93.1,
    ),
    v1_5(
        "resnet50_v1_5",
        "resnet:ResNet50",
        parameters=25_610_152,
        multiply_adds=4_089_184_256,
        top_1=76.130,
        top_5=92.862,
        weights=("hf://timm/resnet50.tv_in1k",),
    ),
    v1_5(
        "resnet101_v1_5",
        "resnet:ResNet101",
        parameters=44_654_504,
        multiply_adds=7_801_405_440,
        top_1=77.374,
        top_5=93.546,
        weights=("hf://timm/resnet101.tv_in1k",),
    ),
    v1_5(
        "resnet152_v1_5",
        "resnet:ResNet152",
        parameters=60_344_232,
        multiply_adds=11_513_626_624,
        top_1=78.312,
        top_5=94.046,
        weights=("hf://timm/resnet152.tv_in1k",),
    ),
    torchvision(
        "resnext50",
        "resnet:ResNeXt50",
        parameters=25_097_128,
        multiply_adds=4_230_479_872,
        year=2016,
        paper=RESNEXT,
        top_1=77.618,
        top_5=93.698,
        weights=("hf://timm/resnext50_32x4d.tv_in1k",),
    ),
    torchvision(
        "wide_resnet50",
        "resnet:WideResNet50",
        parameters=68_951_464,
        multiply_adds=11_398_021_120,
        year=2016,
        paper=WIDE,
        top_1=78.468,
        top_5=94.086,
        weights=("hf://timm/wide_resnet50_2.tv_in1k",),
    ),
    keras_v2(
        "resnet50_v2",
        "resnet_v2:ResNet50V2",
        parameters=25_613_800,
        multiply_adds=3_482_255_360,
        top_1=76.0,
        top_5=93.0,
    ),
    keras_v2(
        "resnet101_v2",
        "resnet_v2:ResNet101V2",
        parameters=44_675_560,
        multiply_adds=7_194_476_544,
        top_1=77.2,
        top_5=93.8,
    ),
    keras_v2(
        "resnet152_v2",
        "resnet_v2:ResNet152V2",
        parameters=60_380_648,
        multiply_adds=10_906_697_728,
        top_1=78.0,
        top_5=94.2,
    ),
    imagenet(
        "preact_resnet18",
        "resnet_v2:PreActResNet18",
        parameters=11_695_528,
        multiply_adds=1_814_073_344,
        year=2016,
        paper=IDENTITY,
    ),
    imagenet(
        "preact_resnet34",
        "resnet_v2:PreActResNet34",
        parameters=21_811_112,
        multiply_adds=3_663_761_408,
        year=2016,
        paper=IDENTITY,
    ),
    cifar(
        "plainnet20",
        "resnet_cifar:PlainNet20",
        parameters=271_098,
        multiply_adds=40_551_040,
    ),
    cifar(
        "plainnet56",
        "resnet_cifar:PlainNet56",
        parameters=857_082,
        multiply_adds=125_485_696,
    ),
    deep(
        "resnet20",
        "resnet_cifar:ResNet20",
        parameters=271_098,
        multiply_adds=40_551_040,
        top_1=91.25,
    ),
    deep(
        "resnet32",
        "resnet_cifar:ResNet32",
        parameters=466_426,
        multiply_adds=68_862_592,
        top_1=92.49,
    ),
    deep(
        "resnet44",
        "resnet_cifar:ResNet44",
        parameters=661_754,
        multiply_adds=97_174_144,
        top_1=92.83,
    ),
    deep(
        "resnet56",
        "resnet_cifar:ResNet56",
        parameters=857_082,
        multiply_adds=125_485_696,
        top_1=93.03,
    ),
    deep(
        "resnet110",
        "resnet_cifar:ResNet110",
        parameters=1_736_058,
        multiply_adds=252_887_680,
        top_1=93.57,
    ),
    deep(
        "resnet1202",
        "resnet_cifar:ResNet1202",
        parameters=19_510_906,
        multiply_adds=2_829_238_912,
        top_1=92.07,
    ),
    preact(
        "preact_resnet110",
        "resnet_cifar:PreActResNet110",
        parameters=1_736_058,
        multiply_adds=252_887_680,
        top_1=93.63,
    ),
    preact(
        "preact_resnet164",
        "resnet_cifar:PreActResNet164",
        parameters=1_727_482,
        multiply_adds=244_500_992,
        top_1=94.54,
    ),
    preact(
        "preact_resnet1001",
        "resnet_cifar:PreActResNet1001",
        parameters=10_476_922,
        multiply_adds=1_487_849_984,
        top_1=95.08,
    ),
    cifar(
        "wide_resnet28",
        "resnet_cifar:WideResNet28",
        parameters=36_497_146,
        multiply_adds=5_243_328_768,
        year=2016,
        paper=WIDE,
        top_1=96.00,
        accuracy_source=f"{WIDE}, version 4, table 4, and github.com/szagoruyko/wide-residual-networks",
    ),
)
