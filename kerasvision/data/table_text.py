"""The text of a CSV file, and what separates its columns."""

import re
from collections.abc import Set
from pathlib import Path

from kerasvision.errors import DataError


def read_table_text(table: Path) -> str:
    """Return the text of a CSV file, or refuse what is none."""
    try:
        with open(table, encoding="utf-8-sig", newline="") as stream:
            text = stream.read()
    except FileNotFoundError:
        raise DataError(f"`file` {table} is not there. The working folder is {Path.cwd()}.") from None
    except IsADirectoryError:
        raise DataError(
            f"`file` {table} is a folder. For a folder of class folders use `image_folder`."
        ) from None
    except UnicodeDecodeError as error:
        raise DataError(f"`file` {table} is not UTF-8 text ({error}). Save it as “CSV UTF-8”.") from None
    if "\0" in text:
        raise DataError(f"`file` {table} holds zero bytes, so it is no text. Save it as “CSV UTF-8”.")
    return text


def choose_delimiter(text: str, columns: Set[str]) -> str:
    """Return the one that finds the columns in the header, or else the one that occurs most often there."""
    first = re.match("[^\r\n]*", text)[0]

    def fit(delimiter: str) -> tuple[int, int]:
        names = {name.strip(' "') for name in first.split(delimiter)}
        return len(names & columns), first.count(delimiter)

    return max(",;\t", key=fit)
