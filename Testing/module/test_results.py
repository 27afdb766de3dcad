"""Reports as the panel shows them."""

import re

import pytest

from MetaKDSegmentationLib.results import importance_html, results_html, scores_html


@pytest.fixture
def report():
    def region(name, ml, dice, words):
        return {"name": name, "volume_ml": ml, "expected_dice": dice, "reliability": words}

    return {
        "regions": {
            "ET": region("Enhancing tumour", 3.0, 0.1, "not reliable"),
            "TC": region("Tumour core", 5.0, 0.7, "use with care"),
            "WT": region("Whole tumour", 42.0, 0.85, "reliable"),
        },
        "volumes_ml": {"NCR": 2.0, "ED": 37.0, "ET": 3.0},
        "measured_on": "5 <validation> patients",
        "available": ["T1", "FLAIR"],
        "generated": ["T1c", "T2"],
        "importance": {"t1": 0.5, "t1c": 1.5, "t2": 1.0, "flair": 1.0},
        "warnings": ["T1 looks like CT"],
        "intended_use": "Research use only.",
        "model": "metakd-first",
        "device": "cpu",
    }


def row(html, name):
    (found,) = [line for line in html.split("<tr>") if name in line]
    return found


def test_each_tissue_has_its_volume_and_the_trust_of_its_region(report):
    html = results_html(report)
    for name, ml, words in [
        ("Necrotic core", "2.0", "use with care"),
        ("Oedema", "37.0", "reliable (Dice 0.85)"),
        ("Enhancing tumour", "3.0", "not reliable"),
        ("Whole tumour", "42.0", "reliable"),
    ]:
        assert f"<b>{ml}</b> ml" in row(html, name) and words in row(html, name)


def test_words_differ_in_colour(report):
    colours = {
        name: re.search(r"color:(#\w+)\">", row(results_html(report), name)).group(1)
        for name in ("Necrotic core", "Oedema", "Enhancing tumour")
    }
    assert len(set(colours.values())) == 3


def test_generated_contrasts_warnings_and_use_are_said(report):
    html = results_html(report)
    assert "T1c, T2 generated" in html and "T1 looks like CT" in html
    assert "Research use only." in html and "&lt;validation&gt;" in html


def test_what_was_done_to_the_volumes_first(report):
    assert "Brain" not in results_html(report)  # of an earlier version
    report |= {
        "registration": {
            "FLAIR": {"outcome": "registered", "moved_mm": 3.21, "turned_degrees": 1.08},
            "T1": {"outcome": "failed", "moved_mm": 0.0, "turned_degrees": 0.0},
        },
        "brain": {"source": "builtin", "volume_ml": 1480.1},
        "finding": "tumour found",
    }
    html = results_html(report)
    assert "FLAIR: registered, moved 3.2 mm, turned 1.1°" in html
    assert "Brain: found by the built-in network, 1480 ml" in html
    assert "T1: registration failed" in html and "▲ T1 looks like CT" in html
    assert "No tumour" not in html


def test_no_tumour_is_said_first(report):
    html = results_html({**report, "finding": "no tumour found"})
    assert "No tumour found" in html[: html.index("metakd-first on cpu")]


def test_a_region_that_was_never_measured_says_so(report):
    report["regions"]["ET"]["expected_dice"] = None
    assert "not measured" in row(results_html(report), "Enhancing tumour")


def test_what_changed_since_is_said_first(report):
    html = results_html(report, ["Edited <b>since"])
    assert html.index("Edited &lt;b&gt;since") < html.index("metakd-first on cpu")


def test_bars_are_as_long_as_the_weights_and_grey_where_absent(report):
    bars = {
        name: (int(width), shade)
        for name, shade, width in re.findall(
            r"<td>(\w+)&nbsp;</td>.*?bgcolor=\"(#\w+)\" width=\"(\d+)\"", importance_html(report)
        )
    }
    assert bars["T1c"][0] == 3 * bars["T1"][0] == 1.5 * bars["T2"][0]
    assert bars["T1"][1] == bars["FLAIR"][1] != bars["T1c"][1]


def test_scores_have_units():
    html = scores_html({"ET": {"dice": 0.8125, "hd95_mm": 3.04}}, "TC cannot be compared")
    assert "0.812" in html and "3.0 mm" in html and "TC cannot be compared" in html
