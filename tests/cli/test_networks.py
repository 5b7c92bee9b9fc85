"""`kerasvision models`: the list, and one network."""

import csv
import io
import json

from kerasvision.cli.main import run
from kerasvision.detection import detector_table, list_detectors
from kerasvision.models import entry, list_models, summary_table


def output(capsys, *arguments: str) -> str:
    assert run(["models", *arguments]) == 0
    return capsys.readouterr().out


def test_table_fits_a_terminal_and_has_every_network(capsys):
    lines = output(capsys).splitlines()
    assert [line.split()[0] for line in lines] == ["name", *list_models()]
    assert max(map(len, lines)) <= 110
    (row,) = (line.split() for line in lines if line.startswith("vgg16 "))
    assert row == "vgg16 2014 138.4 15.47 224 71.3 90.1 keras.io imagenet, hf".split()
    (row,) = (line.split() for line in lines if line.startswith("alexnet "))
    assert row[-2:] == ["torchvision", "file"]


def test_json_and_csv_have_the_whole_table(capsys):
    assert json.loads(output(capsys, "--format", "json")) == summary_table()
    rows = list(csv.DictReader(io.StringIO(output(capsys, "--format", "csv"))))
    assert [row["name"] for row in rows] == list_models()
    assert rows[0]["source"] == entry(rows[0]["name"]).accuracy_source


def test_one_network_with_its_paper(capsys):
    known = entry("vgg11_bn")
    facts = json.loads(output(capsys, "VGG11-bn", "--format", "json"))
    assert facts["paper"] == known.paper and facts["builder"] == "kerasvision.models.VGG11(batch_norm=True)"
    assert facts["parameters"] == known.parameters and facts["preprocessing"] == "torch"
    text = output(capsys, "vgg11_bn")
    assert known.paper in text and known.accuracy_source in text and known.weights[0] in text


def test_detectors_with_what_they_stand_on(capsys):
    rows = json.loads(output(capsys, "--task", "detect", "--format", "json"))
    assert [row["name"] for row in rows] == list_detectors() and rows == detector_table()
    (row,) = (row for row in rows if row["name"] == "retinanet")
    assert (row["backbone"], row["sides"]) == ("resnet50", "multiples of 32")
    assert json.loads(output(capsys, "retinanet", "--format", "json")) == row
    assert run(["models", "--task", "sing"]) == 1
    assert "`--task` must be one of classify, detect. Received: 'sing'" in capsys.readouterr().err


def test_unknown_network_gives_the_closest(capsys):
    assert run(["models", "vgg15"]) == 1
    assert "Did you mean `vgg1" in capsys.readouterr().err
