"""Results as tables, CSV and JSON."""

import csv
import io
import json

import pytest

from kerasvision.cli.output import Format, printable, show, show_facts, table

ROWS = [
    {"image": "a,b.jpg", "label": "rose", "probability": 0.98765},
    {"image": "ü.png", "label": "daisy", "probability": None},
]


def test_table_is_aligned():
    assert table(ROWS).split("\n") == [
        "image    label  probability",
        "a,b.jpg  rose        0.9877",
        "ü.png    daisy            -",
    ]


def test_an_empty_table_says_so():
    assert table([]) == "(nothing)"


def test_json_keeps_the_numbers(capsys):
    show(ROWS, Format.json)
    assert json.loads(capsys.readouterr().out) == ROWS


def test_json_is_valid_also_with_names_that_are_not_utf8(capsys):
    rows = [{"image": "caf\udce9 ü.jpg"}]
    show(rows, Format.json)
    out = capsys.readouterr().out
    assert json.loads(out.encode("utf-8")) == rows and "ü" in out


def test_csv_can_be_read_back(capsys):
    show(ROWS, Format.csv)
    read = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert read == [
        {"image": "a,b.jpg", "label": "rose", "probability": "0.98765"},
        {"image": "ü.png", "label": "daisy", "probability": ""},
    ]


def test_facts(capsys):
    facts = {"accuracy": 0.912345, "images": 20}
    show_facts(facts)
    show_facts(facts, Format.json)
    show_facts(facts, Format.csv)
    out = capsys.readouterr().out
    assert out.startswith("accuracy  0.9123\nimages    20\n{")
    assert out.endswith("name,value\naccuracy,0.912345\nimages,20\n")


CASES = {
    "several lines": ("one\n  two\n\nthree\n", "one two three"),
    "inner spaces stay": ("a  b.jpg", "a  b.jpg"),
    "a terminal's control sequence": ("\x1b[31mred.jpg\x07", r"\x1b[31mred.jpg\x07"),
    "a name that is not UTF-8": ("\udcff.jpg", r"\udcff.jpg"),
    "other writing systems": ("写真/Größe.jpg", "写真/Größe.jpg"),
}


@pytest.mark.parametrize("case", CASES)
def test_printable(case):
    text, expected = CASES[case]
    assert printable(text) == expected
