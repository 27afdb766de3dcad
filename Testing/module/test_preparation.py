"""What was done to the volumes first, in words."""

import pytest

from MetaKDSegmentationLib.preparation import (
    brain_text,
    has_found_brain,
    is_registered,
    registration_texts,
)

OLD = {"model": "of a version that said nothing of it"}


def entry(outcome, moved=0.0, turned=0.0):
    return {"outcome": outcome, "moved_mm": moved, "turned_degrees": turned, "similarity": None}


def test_each_contrast_has_its_outcome():
    report = {
        "registration": {
            "T1": entry("registered", 3.21, 1.08),
            "T2": entry("aligned"),
            "FLAIR": entry("failed"),
        }
    }
    assert registration_texts(report) == (
        "T1: registered, moved 3.2 mm, turned 1.1°",
        "T2: already aligned",
        "FLAIR: registration failed",
    )
    assert is_registered(report, "T1")
    assert not any(is_registered(report, name) for name in ("T2", "FLAIR", "T1c"))


def test_contrasts_of_the_same_outcome_share_a_line():
    report = {"registration": {name: entry("off") for name in ("T1", "T2", "FLAIR")}}
    assert registration_texts(report) == ("T1, T2, FLAIR: not registered",)


@pytest.mark.parametrize(
    ("source", "text", "found"),
    [
        ("background", "the images are without skull, 1480 ml", True),
        ("mask", "the mask that was given, 1480 ml", False),
        ("synthstrip", "found by SynthStrip, 1480 ml", True),
        ("hd-bet", "found by HD-BET, 1480 ml", True),
        ("builtin", "found by the built-in network, 1480 ml", True),
        ("off", "not extracted", False),
    ],
)
def test_where_the_brain_came_from(source, text, found):
    report = {"brain": {"source": source, "volume_ml": 1480.1}}
    assert brain_text(report) == text
    assert has_found_brain(report) is found


def test_reports_of_earlier_versions():
    assert registration_texts(OLD) == ()
    assert brain_text(OLD) == "" and not has_found_brain(OLD) and not is_registered(OLD, "T1")
