"""Data sets that commands are given by path."""

from pathlib import Path

from kerasvision.errors import DataError

TABLES = (".csv", ".tsv", ".txt")


def read_data(path: Path, **settings):
    """Return the `VisionData` of a folder or of a CSV file.

    Args:
        path: a folder for `image_folder`, or a file for `image_csv`.
        **settings: what both take.

    Raises:
        DataError: it is another file, or not there.
    """
    from kerasvision.data import image_csv, image_folder

    if path.suffix.lower() in TABLES and not path.is_dir():
        return image_csv(path, **settings)
    if path.is_file():
        raise DataError(
            f"{path} must be a folder of images, or a CSV file with the columns path and label. "
            f"Received: a file that ends in {path.suffix or 'nothing'}."
        )
    return image_folder(path, **settings)
