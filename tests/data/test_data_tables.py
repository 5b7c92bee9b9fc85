"""CSV files of paths and labels."""

import pytest

from kerasvision.data import image_csv
from kerasvision.errors import DataError


@pytest.fixture
def table(class_folder, tmp_path):
    """Return a function that writes lines to a CSV file beside `photos/`, which has a/ and b/ of 4 images."""
    class_folder({"a": 4, "b": 4})

    def write(*lines: str, encoding: str = "utf-8"):
        file = tmp_path / "list.csv"
        file.write_text("\n".join(lines) + "\n", encoding=encoding)
        return file

    return write


ROWS = [f"photos/{label}/00{i}.png,{label}" for label in "ab" for i in range(4)]


def test_paths_from_the_folder_of_the_file(table, tmp_path):
    data = image_csv(table("path,label", *ROWS), image_size=16, validation_fraction=0.25)
    assert data.class_names == ("a", "b")
    assert data.counts == {"train": {"a": 3, "b": 3}, "validation": {"a": 1, "b": 1}}
    assert all(source.startswith(str(tmp_path / "photos")) for source in data.splits["train"].sources)
    assert sum(len(labels) for _, labels in data.iterate("train")) == 6


def test_other_columns_delimiters_and_excel(table, tmp_path):
    rows = [f'{i};"{label}, x";00{i}.png;{label}' for label in "ab" for i in range(4)]
    rows = [row.replace(";0", f";{row[-1]}/0") for row in rows]
    file = table("id;note;File ;Class", *rows, encoding="utf-8-sig")
    data = image_csv(
        file, folder=tmp_path / "photos", path_column="File", label_column="Class", image_size=16
    )
    assert data.counts["train"] == {"a": 3, "b": 3}


def test_absolute_paths_and_a_split_column(table, tmp_path):
    splits = ["train", "Train", "val", "test"] * 2
    rows = [f"{tmp_path}/{row},{split}" for row, split in zip(ROWS, splits, strict=True)]
    data = image_csv(table("path,label,split", *rows), image_size=16, validation_fraction=0.5)
    one = {"a": 1, "b": 1}
    assert data.counts == {"train": {"a": 2, "b": 2}, "validation": one, "test": one}


def test_skip_works_as_for_folders(table, tmp_path):
    (tmp_path / "photos/a/002.png").write_bytes(b"x")
    (tmp_path / "photos/b/001.png").unlink()
    data = image_csv(table("path,label", *ROWS), image_size=16, on_bad_file="skip", validation_fraction=0)
    assert data.counts["train"] == {"a": 3, "b": 3}
    assert [error.path for error in data.skipped] == [
        str(tmp_path / f"photos/{n}.png") for n in ("a/002", "b/001")
    ]


REFUSED = {
    "no header": (ROWS, "has no column 'path'. Its first line says: photos/a/000.png, a"),
    "no label column": (
        ["path,class", *ROWS],
        "has no column 'label'.*pass `path_column` and `label_column`",
    ),
    "one value too many": (
        ["path,label", "photos/a/0,0.png,a", *ROWS],
        'line 2: more values than the header.*"quotation marks"',
    ),
    "a quotation mark left open": (
        ["path,label", '"photos/a/0.png,a', "x" * 200_000],
        "field larger than field limit.*Is a quotation mark missing",
    ),
    "zero bytes": (["path,label", "photos/a/0\0.png,a"], "holds zero bytes, so it is no text"),
    "one column twice": (["path,label,label", *(f"{r},x" for r in ROWS)], "has 2 columns 'label'. Rename"),
    "backslashes": (
        ["path,label", *(r.replace("/", "\\") for r in ROWS)],
        "None of the 8 images.*Write the paths with / instead of",
    ),
    "addresses": (["path,label", "https://x.org/1.jpg,a", "https://x.org/2.jpg,b"], "are not downloaded"),
    "listed twice in one class": (["path,label", *ROWS, ROWS[0]], "is listed twice. Keep one line"),
    "header only": (["path,label"], "lists no images"),
    "nothing": ([""], "has no column 'path'. Its first line says: nothing"),
    "a label missing": (["path,label", *ROWS[:3], "photos/b/000.png,"], "line 5: no label. Fill it in"),
    "a path missing": (["path,label", *ROWS[:3], ",b"], "line 5: no path"),
    "listed twice": (
        ["path,label", *ROWS, "photos/a/../a/000.png,b"],
        "lines 2 and 10: .* is listed twice, as 'a' and 'b'",
    ),
    "unknown split": (
        ["path,label,split", *(f"{r},trian" for r in ROWS)],
        "line 2: the split must be.*'trian'",
    ),
    "class without training": (
        ["path,label,split", *(f"{r},{'train' if i < 4 else 'test'}" for i, r in enumerate(ROWS))],
        "has classes without a training image: b",
    ),
    "one class": (["path,label", *ROWS[:4]], r"at least 2 classes. Received: 1 \(a\)"),
    "all elsewhere": (
        ["path,label", *(r.replace("photos", "pictures") for r in ROWS)],
        "None of the 8 images in .*list.csv is there, for example .*Pass `folder`",
    ),
}


def test_the_delimiter_is_the_one_that_finds_the_columns(table):
    data = image_csv(
        table('"path";label;a,b,c,d', *(f"{r.replace(',', ';')};x" for r in ROWS)), image_size=16
    )
    assert data.class_names == ("a", "b")


def test_labels_that_look_missing_are_noted(table):
    data = image_csv(table("path,label", *ROWS[:6], *(r[:-1] + "nan" for r in ROWS[6:])), image_size=16)
    assert data.class_names == ("a", "b", "nan")
    assert data.notes == ("2 lines have the class 'nan', first line 8: is that a missing label?",)


@pytest.mark.parametrize("case", REFUSED)
def test_tables_that_are_refused(case, table):
    lines, message = REFUSED[case]
    with pytest.raises(DataError, match=message):
        image_csv(table(*lines), image_size=16)


def test_files_that_are_no_tables(table, tmp_path):
    with pytest.raises(DataError, match="gone.csv is not there"):
        image_csv(tmp_path / "gone.csv")
    with pytest.raises(DataError, match="is a folder. For a folder of class folders use `image_folder`"):
        image_csv(tmp_path / "photos")
    with pytest.raises(DataError, match="is not UTF-8 text.*CSV UTF-8"):
        image_csv(table("path,label", "größe.png,ä", encoding="latin-1"))
