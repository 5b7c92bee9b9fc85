"""Rows of the table: the networks before and beside residual ones (AlexNet, VGG, GoogLeNet, Inception).

Parameters and multiply-adds are counted by the tests, and compared with published figures there.
"""

from functools import partial

from kerasvision.models.model_entry import KERAS_PAGE, TORCHVISION_FILES, TORCHVISION_PAGE, ModelEntry

# Layers with weights that only a network with its top has.
DENSE = ("fc1", "fc2", "predictions")
ALEXNET_PAPER = "https://papers.nips.cc/paper/4824"
VGG_PAPER = "https://arxiv.org/abs/1409.1556"
GOOGLENET_PAPER = "https://arxiv.org/abs/1409.4842"

alexnet = partial(ModelEntry, preprocessing="torch", top_layers=("fc6", "fc7", "predictions"))
vgg = partial(ModelEntry, native_size=224, minimum_size=32, year=2014, paper=VGG_PAPER, top_layers=DENSE)
vgg_torch = partial(vgg, preprocessing="torch", accuracy_source=TORCHVISION_PAGE)
vgg_bn = partial(vgg_torch, options={"batch_norm": True})
vgg_keras = partial(vgg, preprocessing="caffe", accuracy_source=KERAS_PAGE)
googlenet = partial(ModelEntry, native_size=224, minimum_size=32, year=2014, paper=GOOGLENET_PAPER)
inception = partial(
    ModelEntry, native_size=299, minimum_size=75, preprocessing="tf", accuracy_source=KERAS_PAGE
)

ROWS = (
    alexnet(
        "alexnet",
        "alexnet:AlexNet",
        native_size=224,
        minimum_size=63,
        parameters=61_100_840,
        multiply_adds=714_188_480,
        year=2014,
        paper="https://arxiv.org/abs/1404.5997",
        top_1=56.522,
        top_5=79.066,
        accuracy_source=TORCHVISION_PAGE,
        weights=(f"{TORCHVISION_FILES}/alexnet-owt-7be5be79.pth",),
    ),
    alexnet(
        "alexnet_grouped",
        "alexnet:AlexNet",
        options={"form": "grouped"},
        native_size=227,
        minimum_size=67,
        parameters=60_965_224,
        multiply_adds=724_406_816,
        year=2012,
        paper=ALEXNET_PAPER,
        top_1=59.3,
        top_5=81.8,
        accuracy_source=f"{ALEXNET_PAPER}, table 2: one network, ten crops, validation set",
    ),
    vgg_torch(
        "vgg11",
        "vgg:VGG11",
        parameters=132_863_336,
        multiply_adds=7_609_090_048,
        top_1=69.02,
        top_5=88.628,
        weights=("hf://timm/vgg11.tv_in1k",),
    ),
    vgg_torch(
        "vgg13",
        "vgg:VGG13",
        parameters=133_047_848,
        multiply_adds=11_308_466_176,
        top_1=69.928,
        top_5=89.246,
        weights=("hf://timm/vgg13.tv_in1k",),
    ),
    vgg_keras(
        "vgg16",
        "vgg:VGG16",
        parameters=138_357_544,
        multiply_adds=15_470_264_320,
        top_1=71.3,
        top_5=90.1,
        weights=("imagenet", "hf://timm/vgg16.tv_in1k"),
    ),
    vgg_keras(
        "vgg19",
        "vgg:VGG19",
        parameters=143_667_240,
        multiply_adds=19_632_062_464,
        top_1=71.3,
        top_5=90.0,
        weights=("imagenet", "hf://timm/vgg19.tv_in1k"),
    ),
    vgg_bn(
        "vgg11_bn",
        "vgg:VGG11",
        parameters=132_874_344,
        multiply_adds=7_609_090_048,
        top_1=70.37,
        top_5=89.81,
        weights=("hf://timm/vgg11_bn.tv_in1k",),
    ),
    vgg_bn(
        "vgg13_bn",
        "vgg:VGG13",
        parameters=133_059_624,
        multiply_adds=11_308_466_176,
        top_1=71.586,
        top_5=90.374,
        weights=("hf://timm/vgg13_bn.tv_in1k",),
    ),
    vgg_bn(
        "vgg16_bn",
        "vgg:VGG16",
        parameters=138_374_440,
        multiply_adds=15_470_264_320,
        top_1=73.36,
        top_5=91.516,
        weights=("hf://timm/vgg16_bn.tv_in1k",),
    ),
    vgg_bn(
        "vgg19_bn",
        "vgg:VGG19",
        parameters=143_689_256,
        multiply_adds=19_632_062_464,
        top_1=74.218,
        top_5=91.842,
        weights=("hf://timm/vgg19_bn.tv_in1k",),
    ),
    googlenet(
        "googlenet",
        "googlenet:GoogLeNet",
        preprocessing="torch",
        parameters=6_998_552,
        multiply_adds=1_582_671_872,
        top_5=89.93,
        accuracy_source=f"{GOOGLENET_PAPER}, table 3: one network, one crop",
    ),
    googlenet(
        "googlenet_bn",
        "googlenet:GoogLeNet",
        options={"batch_norm": True},
        preprocessing="tf",
        parameters=6_639_464,
        multiply_adds=1_498_376_192,
        top_1=69.778,
        top_5=89.53,
        accuracy_source=TORCHVISION_PAGE,
        weights=(f"{TORCHVISION_FILES}/googlenet-1378be20.pth",),
    ),
    inception(
        "inception_v3",
        "inception_v3:InceptionV3",
        parameters=23_851_784,
        multiply_adds=5_713_216_096,
        year=2015,
        paper="https://arxiv.org/abs/1512.00567",
        top_1=77.9,
        top_5=93.7,
        weights=("imagenet",),
    ),
    inception(
        "inception_v3_torchvision",
        "inception_v3:InceptionV3",
        options={"form": "torchvision"},
        parameters=23_869_000,
        multiply_adds=5_713_216_096,
        year=2015,
        paper="https://arxiv.org/abs/1512.00567",
        top_1=77.294,
        top_5=93.45,
        accuracy_source=TORCHVISION_PAGE,
        weights=("hf://timm/inception_v3.tv_in1k",),
    ),
    inception(
        "inception_resnet_v2",
        "inception_resnet_v2:InceptionResNetV2",
        parameters=55_873_736,
        multiply_adds=13_155_794_016,
        year=2016,
        paper="https://arxiv.org/abs/1602.07261",
        top_1=80.3,
        top_5=95.3,
        weights=("imagenet",),
    ),
)
