"""The report as a whole: well-formed, self-contained, safe, and saying what it was given."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from kerasvision.metrics import judge
from kerasvision.report import Mistake, ReportInput, classifier_page, notebook_summary, sections
from kerasvision.report.html import VOID

EVIL = "<script>alert(1)</script><img src=x onerror='alert(2)'>\"' & </style>"
SECTIONS = (
    "What was trained",
    "Learning curves",
    "What is mixed up with what",
    "Class by class",
    "Worst mistakes",
    "Can its confidence be trusted?",
    "Exported files",
    "Data",
    "Skipped files",
    "Notes on the data",
)


class Reader(HTMLParser):
    """Collects tags, attributes and text, and insists that every element is closed."""

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.text = [], [], [], []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.text.append(data)


def text_of(page):
    return " ".join(" ".join(Reader(page).text).replace("\u00a0", " ").split())


@pytest.mark.parametrize("form", [classifier_page, notebook_summary])
@pytest.mark.parametrize("classes", [2, 3, 20, 21, 120])
def test_holds_every_section_for_any_number_of_classes(make_report, form, classes):
    text = text_of(form(make_report(classes, images=4 * classes)))
    for title in SECTIONS:
        assert title in text
    for word in ("mobilenet_v2", "More photos of class 1", "2.7 MB", "FAILED", "accuracy fell by 4", "a.jpg"):
        assert word in text
    assert "broken.jpg: cut off" in text
    assert "1 class changed" in text and "90.0 % 80.0 % 10" in text


@pytest.mark.parametrize("form", [classifier_page, notebook_summary])
def test_loads_nothing_and_runs_nothing(make_report, form):
    reader = Reader(form(make_report(30)))
    assert not {"script", "link", "iframe", "object", "embed", "form"} & set(reader.tags)
    for key, value in reader.attributes:
        assert not key.startswith("on")
        if key in ("src", "href"):
            assert value.startswith(("data:image/", "#"))
    assert "url(" not in form(make_report()) and "@import" not in form(make_report())


@pytest.mark.parametrize("form", [classifier_page, notebook_summary])
@pytest.mark.parametrize("classes", [3, 25])
def test_names_cannot_inject(form, classes):
    names = tuple(f"{EVIL} {i}" for i in range(classes))
    labels = np.arange(classes)
    picture = np.zeros((8, 8, 3), np.uint8)
    report = ReportInput(
        title=EVIL,
        facts={EVIL: EVIL},
        advice=[EVIL],
        judgement=judge(labels, np.roll(np.eye(classes), 1, axis=0), names),
        history=[{"phase": EVIL, "loss": 1.0}, {"phase": "b", "loss": 0.5}],
        counts={EVIL: dict.fromkeys(names, 1)},
        mistakes=[Mistake(EVIL, names[0], names[1], 0.5, picture, np.ones((2, 2)))],
        certificates=[dict.fromkeys(("file", "format", "quantize"), EVIL) | FAILED],
        skipped=[EVIL],
        notes=[EVIL],
    )
    page = form(report)
    assert "<script" not in page and "<img src=x" not in page
    reader = Reader(page)
    assert set(reader.tags).isdisjoint({"script"}) and not any(
        k.startswith("on") for k, _ in reader.attributes
    )
    assert EVIL in " ".join(reader.text)


FAILED = {
    "passed": False,
    "failures": [EVIL],
    "count": 1,
    "max_difference": 1.0,
    "agreement": 0.0,
    "size": 1,
}


@pytest.mark.parametrize("form", [classifier_page, notebook_summary])
def test_what_is_not_there_is_left_out(form):
    judgement = judge([0, 1], [[0.9, 0.1], [0.2, 0.8]], ["a", "b"])
    text = text_of(form(ReportInput(title="T", facts={}, advice=[], judgement=judgement)))
    for title in (
        "Learning curves",
        "Worst mistakes",
        "Exported files",
        "Data",
        "Skipped",
        "Notes",
        "Advice",
    ):
        assert title not in text
    assert "100 % of 2 held-out images" in text and "15.8 % to 100 %" in text


def test_notes_are_not_counted_as_skipped_files(make_report):
    text = text_of(classifier_page(make_report()))
    skipped, notes = text.rpartition("Skipped files")[2].partition("Notes on the data")[::2]
    assert "1 file:" in skipped and "broken.jpg: cut off" in skipped and "photo is turned" not in skipped
    assert "1 photo is turned" in notes and "broken.jpg" not in notes


def test_odd_values_do_not_reach_the_page_as_nan(make_report):
    history = [
        {"phase": "freeze", "loss": "nan", "accuracy": "", "val_loss": None, "val_accuracy": "0.5"},
        {"phase": "freeze", "loss": float("inf"), "accuracy": "0.25", "val_loss": "3e2"},
    ]
    page = classifier_page(make_report(history=history, certificates=[]))
    assert not re.search(r"\b(nan|inf|None)\b", page)


def test_names_that_are_not_unicode_do_not_break_the_file(make_report):
    page = classifier_page(make_report(skipped=["bad \udcff name\x00\x1b[31m.jpg"]))
    assert "bad \\udcff name\ufffd\ufffd[31m.jpg" in page
    page.encode("utf-8")


def test_pictures_and_charts_have_words_for_those_who_cannot_see(make_report):
    page = classifier_page(make_report(30))
    assert all("alt=" in image for image in re.findall(r"<img[^>]*>", page))
    assert page.count("<svg") == page.count('role="img"><title>') >= 4
    assert '<html lang="en">' in page and "<caption>" in page and 'scope="row"' in page


def test_the_style_of_a_fragment_stays_inside_it(make_report):
    style = re.search(r"<style>(.*?)</style>", notebook_summary(make_report()), re.S).group(1)
    flat = re.sub(r"@media[^{]*\{", "", style)
    selectors = [part for rule in re.findall(r"([^{}]+)\{", flat) for part in rule.split(",")]
    assert len(selectors) > 50
    assert [s for s in selectors if not s.strip().startswith(".kv")] == []


def test_a_frozen_training_is_not_shown_as_epochs():
    rows = [
        {
            "phase": "freeze",
            "epoch": 10 * i,
            "loss": 1.0 / i,
            "val_loss": 1.0,
            "accuracy": 0.5,
            "strength": 1.0 / i,
        }
        for i in (1, 2, 3)
    ]
    solved = str(sections.curves(rows))
    assert "Penalty, from strong to weak" in solved and sections.SOLVED_NOTE in solved
    epochs = str(sections.curves([{k: v for k, v in row.items() if k != "strength"} for row in rows]))
    assert "Epoch" in epochs and sections.SOLVED_NOTE not in epochs


def test_advice_sets_arguments_as_code():
    assert "<code>test_fraction=0.1</code>" in str(sections.advice(["Set `test_fraction=0.1`."]))
    assert "<script>" not in str(sections.advice(["`<script>`"]))
