"""Make the public builders of a family, one for each variant, from the function that lays out its layers.

The eight arguments of keras.applications, their checks, the top and the weights stand here once. Each builder
shows them, and the options of its family, to `help` and `inspect.signature`.
"""

import inspect
import os
import textwrap
from collections.abc import Callable, Mapping
from functools import partial

import keras

from kerasvision.models.building import classification_top, finish, image_input, source_of

DOCSTRING = """{summary}

Args:
    include_top: end in average pooling and a Dense layer `predictions`.
    weights: `None` (random), {imagenet}or a weights file.
    input_tensor: Keras tensor (batch, height, width, channels) to build on.
    input_shape: (height, width, channels); default ({native}, {native}, 3) with the top, else
        (None, None, 3).
    pooling: without the top: `"avg"`, `"max"`, or `None` for feature maps.
    classes: number of classes of the top.
    classifier_activation: activation of the top; `None` for logits.
    name: name of the model.
{options}
Returns:
    A flat functional model of Keras' own layers.

Raises:
    ValueError: an argument is not accepted, or the images are smaller than {minimum} x {minimum}.
    TypeError: the network has no such option.
    WeightsError: the weights cannot be fetched, or do not fit.
{note}
{source}
"""


def variant(
    function: str,
    name: str,
    body: Callable,
    *,
    summary: str,
    source: str,
    note: str = "",
    native: int,
    minimum: int,
    classes: int = 1000,
    options: Mapping[str, str],
    download: Callable[..., tuple[str, str, str] | None] | None = None,
    **settings,
):
    """Return the public builder of one variant of a family.

    Args:
        function: name of the builder, for example `"ResNet20"`.
        name: name of the models that it builds.
        body: `body(image, *, …) -> feature maps`. Its keyword-only parameters without a default are what
            tells variants apart; those with one are options of the builder.
        summary: first line of the docstring.
        source: address of the paper, the last line.
        note: paragraph before it.
        native: side in pixels of the images it was published for.
        minimum: smallest side in pixels that it accepts.
        classes: default number of classes of the top.
        options: option -> its description.
        download: `download(include_top, **options)` returns file name, URL and MD5 of the ImageNet weights,
            or `None` where there are none with these options.
        **settings: of `body`; those that name an option become its default.
    """
    parameters = inspect.signature(body).parameters.values()
    choices = [
        parameter.replace(default=settings.pop(parameter.name, parameter.default))
        for parameter in parameters
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is not parameter.empty
    ]
    defaults = {parameter.name: parameter.default for parameter in choices}
    body = partial(body, **settings)
    default_classes, default_name = classes, name

    def build(
        include_top: bool = True,
        weights: str | os.PathLike | None = None,
        input_tensor=None,
        input_shape: tuple | None = None,
        pooling: str | None = None,
        classes: int = default_classes,
        classifier_activation="softmax",
        name: str = default_name,
        **chosen,
    ) -> keras.Model:
        _check(function, chosen, defaults)
        chosen = {**defaults, **chosen}
        image = image_input(
            input_tensor, input_shape, include_top=include_top, native=native, minimum=minimum
        )
        x = classification_top(body(image, **chosen), include_top, pooling, classes, classifier_activation)
        return finish(
            keras.Model(source_of(image, input_tensor), x, name=name),
            weights,
            download=download and download(include_top, **chosen),
            imagenet_classes=classes if include_top else None,
        )

    build.__name__ = build.__qualname__ = function
    build.__module__ = body.func.__module__
    build.__signature__ = _signature(build, choices)
    build.__doc__ = DOCSTRING.format(
        summary=summary,
        source=source,
        note=f"\n{note}\n" if note else "",
        native=native,
        minimum=minimum,
        imagenet='`"imagenet"`, ' if download else "",
        options="".join(_described(choice.name, options[choice.name]) for choice in choices),
    )
    return build


def choose(argument: str, value, accepted: tuple) -> None:
    """Refuse an option that is not one of those accepted.

    Raises:
        ValueError: it is another.
    """
    if value not in accepted:
        raise ValueError(f"`{argument}` must be one of {accepted}. Received: {value!r}.")


def _check(function: str, chosen: Mapping, defaults: Mapping) -> None:
    unknown = sorted(set(chosen) - set(defaults))
    if unknown:
        raise TypeError(
            f"{function}() got an unexpected keyword argument {unknown[0]!r}. Besides the arguments of "
            f"keras.applications it has: {', '.join(defaults) or 'none'}."
        )


def _signature(build: Callable, choices: list[inspect.Parameter]) -> inspect.Signature:
    """Return the signature of a builder with its options in the place of `**chosen`."""
    signature = inspect.signature(build)
    return signature.replace(parameters=[*list(signature.parameters.values())[:-1], *choices])


def _described(option: str, text: str) -> str:
    return textwrap.indent(
        textwrap.fill(f"{option}: {text}", 100, subsequent_indent="    ", break_on_hyphens=False) + "\n",
        "    ",
    )
