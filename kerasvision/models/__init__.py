"""Networks, classifiers built on them, their weights, and what is done to their graphs.

`classifier` makes a trainable model that takes raw RGB pixels; `get_model` and `list_models` find networks
by name; `fold_batchnorm`, `feature_pyramid`, `feature_extractor` and `head_of` derive other models from one.
"""

from kerasvision._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    names={
        "AlexNet": "alexnet",
        "EfficientNetV2B0": "mobile",
        "GoogLeNet": "googlenet",
        "InceptionResNetV2": "inception_resnet_v2",
        "InceptionV3": "inception_v3",
        "MobileNetV2": "mobile",
        "MobileNetV3Large": "mobile",
        "MobileNetV3Small": "mobile",
        "ModelEntry": "model_entry",
        "PlainNet20": "resnet_cifar",
        "PlainNet56": "resnet_cifar",
        "ResNet101": "resnet",
        "ResNet110": "resnet_cifar",
        "ResNet1202": "resnet_cifar",
        "ResNet152": "resnet",
        "ResNet20": "resnet_cifar",
        "ResNet32": "resnet_cifar",
        "ResNet44": "resnet_cifar",
        "ResNet50": "resnet",
        "ResNet56": "resnet_cifar",
        "ResNetSmall": "resnet_small",
        "VGG11": "vgg",
        "VGG13": "vgg",
        "VGG16": "vgg",
        "VGG19": "vgg",
        "classifier": "heads",
        "entry": "registry",
        "feature_extractor": "heads",
        "feature_pyramid": "features",
        "fold_batchnorm": "folding",
        "get_model": "registry",
        "head_of": "heads",
        "list_models": "registry",
        "load_weights": "loading",
        "multiply_adds": "counting",
        "stages": "features",
        "summary_table": "counting",
    },
)
