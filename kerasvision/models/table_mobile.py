"""Rows of the table: networks for phones, and the small one of the demo."""

from functools import partial

from kerasvision.models.model_entry import KERAS_PAGE, TOP_LAYERS, ModelEntry

network = partial(ModelEntry, native_size=224, minimum_size=32, weights=("imagenet",))
mobilenet_v3 = partial(
    network,
    preprocessing="included",
    year=2019,
    paper="https://arxiv.org/abs/1905.02244",
    top_layers=("conv_2", "logits", *TOP_LAYERS),
)

ROWS = (
    network(
        "mobilenet_v2",
        "mobile:MobileNetV2",
        preprocessing="tf",
        parameters=3_538_984,
        multiply_adds=300_774_272,
        year=2018,
        paper="https://arxiv.org/abs/1801.04381",
        top_1=71.3,
        top_5=90.1,
        accuracy_source=KERAS_PAGE,
    ),
    mobilenet_v3(
        "mobilenet_v3_small",
        "mobile:MobileNetV3Small",
        parameters=2_554_968,
        multiply_adds=56_510_400,
        top_1=68.1,
        accuracy_source="the docstring of keras.applications.MobileNetV3Small",
    ),
    mobilenet_v3(
        "mobilenet_v3_large",
        "mobile:MobileNetV3Large",
        parameters=5_507_432,
        multiply_adds=216_589_760,
        top_1=75.6,
        accuracy_source="the docstring of keras.applications.MobileNetV3Large",
    ),
    network(
        "efficientnet_v2_b0",
        "mobile:EfficientNetV2B0",
        preprocessing="included",
        parameters=7_200_312,
        multiply_adds=718_086_176,
        year=2021,
        paper="https://arxiv.org/abs/2104.00298",
        top_1=78.7,
        top_5=94.3,
        accuracy_source=KERAS_PAGE,
    ),
    ModelEntry(
        "resnet_small",
        "resnet_small:ResNetSmall",
        native_size=32,
        minimum_size=8,
        preprocessing="zero_one",
        parameters=78_714,
        multiply_adds=12_501_632,
        classes=10,
        year=2015,
        paper="https://arxiv.org/abs/1512.03385",
    ),
)
