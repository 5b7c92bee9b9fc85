"""Data sets that commands are given by path."""

from pathlib import Path

from kerasvision.errors import DataError


def read_data(path: Path, **settings):
    """Return the `VisionData` of a folder or of a CSV file.

    Args:
        path: a folder for `image_folder`, or a file for `image_csv`.
        **settings: what both take.

    Raises:
        DataError: it is another file, or not there.
    """
    from kerasvision.data import image_csv, image_folder
    from kerasvision.data.tables import TABLE_SUFFIXES

    if path.suffix.lower() in TABLE_SUFFIXES and not path.is_dir():
        return image_csv(path, **settings)
    if path.is_file():
        raise DataError(
            f"{path} must be a folder of images, or a CSV file with the columns path and label. "
            f"Received: a file that ends in {path.suffix or 'nothing'}."
        )
    return image_folder(path, **settings)
