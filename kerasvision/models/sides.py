"""Sizes of images that networks can take. Needs no Keras, so that tables of networks stay quick."""

from kerasvision.errors import KerasvisionError


def check_multiple(name: str, image_size: tuple[int, int], multiple: int) -> None:
    """Refuse images whose sides are no multiples of what a network needs.

    Args:
        name: of the network, for the message.
        image_size: (height, width) in pixels.
        multiple: what both sides must be multiples of.

    Raises:
        KerasvisionError: with the next size that fits.
    """
    fitting = tuple(-(-side // multiple) * multiple for side in image_size)
    if fitting != tuple(image_size):
        raise KerasvisionError(
            f"Sides of `image_size` must be multiples of {multiple} for {name!r}. "
            f"Received: {tuple(image_size)}. Use {fitting}: resize images to it, or pad them."
        )
