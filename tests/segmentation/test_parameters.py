"""Trainable parameters of segmenters against papers and well-known implementations."""

import keras
import pytest

from kerasvision.segmentation import segmenter

slow = pytest.mark.slow
FC6, FC7 = 7 * 7 * 512 * 4096 + 4096, 4096 * 4096 + 4096  # of VGG16
SMP = "segmentation_models.pytorch"  # https://github.com/qubvel-org/segmentation_models.pytorch, one class
SEGFORMER = "https://arxiv.org/abs/2105.15203, tables 1 and 2, ADE20K"
KERAS_CV = "keras_cv 0.9.0, its table of presets"
# Source, builder, classes, backbone, options, what the source has and ours has not, what the source says.
# A number of the source that ends in 0s is rounded to its last other digit.
CASES = {
    # Its scores are a 3x3 convolution of 16 channels, ours 1x1.
    "unet resnet34": (SMP, "unet", 2, "resnet34", {}, (145 - 34), 24_436_369),
    "unet resnet50": (SMP, "unet", 2, "resnet50_v1_5", {}, (145 - 34), 32_521_105),
    # Without BatchNorm between depthwise and 1x1 convolutions, as DeepLab has; and a class less.
    "deeplab_v3_plus resnet50": (
        *(SMP, "deeplab_v3_plus", 2, "resnet50_v1_5", {"separable": True}),
        *(-2 * (3 * 2048 + 304 + 256) - 257, 26_677_585),
    ),
    # Besides, it takes 24 channels at stride 4, before the next block widens them; ours the widened 144.
    "deeplab_v3_plus mobilenet_v2": (
        *(SMP, "deeplab_v3_plus", 2, "mobilenet_v2", {}),
        *(-2 * (3 * 1280 + 304 + 256) - 257 - (144 - 24) * 48, 4_378_513),
    ),
    # Its ResNets begin with three 3x3 convolutions (32, 32 and 64) in place of one of 7x7.
    "pspnet resnet101": (
        *(SEGFORMER, "pspnet", 150, "resnet101_v1_5", {"auxiliary": True}),
        *(27 * 32 + 288 * 32 + 288 * 64 + 256 - (49 * 3 * 64 + 128), 68_100_000),
    ),
    # The same with the parameters of torchvision's ResNet-50 in place of those of its ResNet-101.
    "pspnet resnet50": (
        *(SEGFORMER, "pspnet", 150, "resnet50_v1_5", {"auxiliary": True}),
        *(27 * 32 + 288 * 32 + 288 * 64 + 256 - (49 * 3 * 64 + 128) + 44_549_160 - 25_557_032, 68_100_000),
    ),
    # It keeps the layers fc6 and fc7 as convolutions, with scores of their 4096 channels; backbones here end
    # with the last pooling of 512 channels.
    "fcn_8s vgg16": (
        *("https://arxiv.org/abs/1411.4038, table 1", "fcn_8s", 21, "vgg16", {}),
        *(FC6 + FC7 + (4096 - 512) * 21, 134_000_000),
    ),
    "segformer_b0": (KERAS_CV, "segformer_b0", 19, None, {}, 0, 3_719_027),
    "segformer_b0 of the paper": (SEGFORMER, "segformer_b0", 150, None, {}, 0, 3_800_000),
    # From here on the table counts the averages of BatchNorm too.
    "segformer_b1": (KERAS_CV, "segformer_b1", 19, None, {}, 512, 13_682_643),
    "segformer_b1 of the paper": (SEGFORMER, "segformer_b1", 150, None, {}, 0, 13_700_000),
    # keras-cv's heads have 256 filters at all sizes.
    "segformer_b2": (KERAS_CV, "segformer_b2", 19, None, {"filters": 256}, 512, 24_727_507),
    "segformer_b2 of the paper": (SEGFORMER, "segformer_b2", 150, None, {}, 0, 27_500_000),
    "segformer_b3 of the paper": (SEGFORMER, "segformer_b3", 150, None, {}, 0, 47_300_000),
    "segformer_b4 of the paper": (SEGFORMER, "segformer_b4", 150, None, {}, 0, 64_100_000),
    "segformer_b5": (KERAS_CV, "segformer_b5", 19, None, {"filters": 256}, 512, 81_974_227),
    "segformer_b5 of the paper": (SEGFORMER, "segformer_b5", 150, None, {}, 0, 84_700_000),
}
QUICK = ("unet resnet34", "deeplab_v3_plus mobilenet_v2", "segformer_b0")


@pytest.mark.parametrize(
    "case", [case if case in QUICK else pytest.param(case, marks=slow) for case in CASES]
)
def test_parameters(case):
    _, name, classes, backbone, options, beside, stated = CASES[case]
    model = segmenter(name, classes=classes, image_size=64, backbone=backbone, **options)
    ours = sum(int(keras.ops.size(weight)) for weight in model.trainable_variables)
    assert abs(ours + beside - stated) <= rounding(stated), (ours, beside, stated)


def rounding(stated: int) -> float:
    """Return half of the last digit of a number that is rounded, else 0."""
    digits = len(str(stated)) - len(str(stated).rstrip("0"))
    return 10**digits / 2 if digits > 3 else 0.0
