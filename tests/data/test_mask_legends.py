"""What values and colours of masks are called: files of colours, names and void."""

import numpy as np
import pytest

from kerasvision.data.label_maps import PlainCoding
from kerasvision.data.mask_coding import ColourTable, MaskCoding, values_of
from kerasvision.data.mask_legends import choose_legend, colour_table
from kerasvision.errors import DataError


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no line"),
        ("a,1,2,3\nb,1,2\n", "line 2"),
        ("name r g b\na 1 2 999\n", "line 2"),
        ("a 1 2 3\n\xff", "line 2"),
    ],
)
def test_colour_files_that_cannot_be_used(tmp_path, text, message):
    (tmp_path / "table.txt").write_text(text)
    with pytest.raises(DataError, match=message):
        colour_table(tmp_path / "table.txt")


def test_names_that_hold_numbers_and_spaces(tmp_path):
    (tmp_path / "table.txt").write_text("traffic sign 2,1,2,3\n4 5 6 lane 7 8\n")
    table = colour_table(tmp_path / "table.txt")
    assert isinstance(table, ColourTable) and table.names == ("traffic sign 2", "lane 7 8")
    assert table.colours.tolist() == [[1, 2, 3], [4, 5, 6]]


def test_a_legend_without_values():
    legend = choose_legend(np.zeros(256, int), class_names=["a", "unlabelled", "b"])
    assert legend.names == ("a", "b") and legend.labels[[0, 1, 2, 255]].tolist() == [0, 255, 1, 255]
    assert legend.known.sum() == 4 and "'unlabelled' is taken for void" in legend.notes[0]
    legend = choose_legend(np.zeros(256, int), class_names=["a", "unlabelled", "b"], void=None)
    assert legend.names == ("a", "unlabelled", "b") and not legend.known[255]


@pytest.mark.parametrize(
    ("void", "kept"), [(None, 3), ("auto", 3), (1, 2), ([0, 2], 1), ("b", 2), ((0, 1, 2), 0)]
)
def test_void_is_taken_out_of_the_names(void, kept):
    if kept < 2:
        with pytest.raises(DataError, match="at least 2 classes"):
            choose_legend(np.ones(256), class_names=["a", "b", "c"], void=void)
        return
    legend = choose_legend(np.ones(256), class_names=["a", "b", "c"], void=void)
    assert len(legend.names) == kept and sorted(set(legend.labels[legend.known])) == (
        [*range(kept)] + ([255] if void is not None else [])
    )


def test_a_file_that_is_no_text(tmp_path):
    (tmp_path / "table.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="not UTF-8"):
        colour_table(tmp_path / "table.txt")


def test_names_from_a_file(tmp_path):
    (tmp_path / "names.txt").write_text("ground\nroad sign\n\nvoid\n", encoding="utf-8-sig")
    legend = choose_legend(np.ones(256), class_names=tmp_path / "names.txt")
    assert legend.names == ("ground", "road sign") and legend.labels[[0, 1, 2]].tolist() == [0, 1, 255]
    (tmp_path / "names.txt").write_text("\n")
    with pytest.raises(DataError, match="is empty"):
        choose_legend(np.ones(256), class_names=str(tmp_path / "names.txt"))


@pytest.mark.parametrize(
    "text", ['["ground", "road sign", "void"]', '{"names": ["ground", "road sign", "void"]}']
)
def test_names_from_json(tmp_path, text):
    (tmp_path / "classes.json").write_text(text)
    legend = choose_legend(np.ones(256), class_names=tmp_path / "classes.json")
    assert legend.names == ("ground", "road sign") and legend.labels[[0, 1, 2]].tolist() == [0, 1, 255]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"classes": ["ground", "road"]}', "must be a list of names"),
        ('["ground", 7]', "must be a list of names"),
        ("[]", "must be a list of names"),
        ("ground\nroad\n", "is not valid JSON"),
    ],
)
def test_json_that_holds_no_names(tmp_path, text, message):
    (tmp_path / "classes.json").write_text(text)
    with pytest.raises(DataError, match=f"`class_names` .*classes.json.* {message}"):
        choose_legend(np.ones(256), class_names=str(tmp_path / "classes.json"))


def test_values_of_tells_what_a_legend_told():
    told = {9: "void", 4: "road", 0: "ground"}
    legend = choose_legend(np.ones(256), class_names=told, void=[9, 200])
    values = values_of(MaskCoding(legend.labels, legend.known), legend.names)
    assert list(values.items()) == [(4, "road"), (0, "ground"), (9, None), (200, None)]
    table = colour_table({"ground": (0, 0, 0), "road": (1, 1, 1)})
    assert values_of(MaskCoding(legend.labels, legend.known, table), legend.names) is None
    assert values_of(PlainCoding(), legend.names) is None
