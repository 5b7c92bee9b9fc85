"""Embedders of handwriting: digits that are not trained on are found again, and a bad start is spoken of."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def digits(real_data, tmp_path_factory):
    """Return what `digits_training.py` printed."""
    environment = os.environ | {"KERASVISION_QUIET": "0", "PYTHONPATH": str(HERE.parent.parent)}
    archive = real_data / "mnist_train60k_test3k.npz"
    command = [
        *(sys.executable, str(HERE / "digits_training.py")),
        *(str(archive), str(tmp_path_factory.mktemp("digits"))),
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1]) | {"said": done.stderr}


@pytest.mark.slow
@pytest.mark.realdata
def test_digits_never_seen_are_found_again(digits):
    """Recall at 1 and MAP at R among all 7, 8 and 9 of the test images, beside those of the raw pixels."""
    trained, chosen, judged = (digits["identities"][split] for split in ("train", "validation", "test"))
    assert {name[0] for name in trained + chosen} == set("0123456") and judged == list("789")
    found, pixels = digits["good"]["retrieval"], digits["pixels"]
    assert found["queries"] == pixels["queries"] == 887
    assert found["recall"]["1"] >= 0.95 and found["recall"]["1"] > pixels["recall"]["1"]
    assert found["map_at_r"] > pixels["map_at_r"] + 0.1
    assert not any("collapsed" in sentence for sentence in digits["good"]["advice"])
    assert digits["good"]["history"][-1]["spread"] > 0.8


@pytest.mark.slow
@pytest.mark.realdata
def test_the_report_shows_what_three_identities_can_tell(digits):
    """Among three enrolled the third rank is always right; the map has a hundred dots of each."""
    page = digits["good"]["report"]
    assert "Right at rank 1" in page and "Right at rank 5" not in page
    assert "300 images of 3 identities" in page


@pytest.mark.slow
@pytest.mark.realdata
def test_a_bad_start_is_spoken_of(digits):
    """The hardest triplets and a rate of 0.3: all images become one point, whose loss is the margin."""
    bad = digits["bad"]
    for row in bad["history"][-2:]:
        assert row["loss"] == pytest.approx(bad["margin"], rel=0.05)
        assert row["spread"] < 0.05 and row["active"] > 0.9
    (advice,) = [sentence for sentence in bad["advice"] if "has collapsed" in sentence]
    assert "learning rate of a tenth" in advice and "semi_hard" in advice
    assert "has collapsed" in bad["report"] and "has collapsed" not in digits["good"]["report"]
    assert digits["said"].count("The embedding has collapsed") == 1, "said once, while it was training"
