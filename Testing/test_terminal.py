"""What a terminal is told of a run, in plain words."""

from dataclasses import replace

import pytest
from metakd import terminal
from metakd.contrasts import Contrast
from metakd.model import load_model
from metakd.report import BrainReport, RegistrationReport
from metakd.segment import Options, segment
from metakd.steps import AS_IT_IS
from metakd.study import make_study
from scans import make_scan


@pytest.fixture(scope="module")
def report(tiny_package):
    study = make_study({Contrast.T1: make_scan(0), Contrast.T1C: make_scan(1)})
    options = Options(device="cpu", steps=AS_IT_IS)
    return segment(study, load_model(str(tiny_package)), options).report


def prepared(registration=None, brain=None):
    brain = brain or BrainReport("builtin", 1480.4)
    return "\n".join(terminal.prepared("T1c", registration or {}, brain, bias=False))


def test_an_affine_search_and_n4_are_told_of():
    done = {"T1": RegistrationReport("registered", 3.24, 1.36, 0.4, "affine")}
    brain = BrainReport("builtin", 1480.4)
    text = "\n".join(terminal.prepared("T1c", done, brain, bias=True))
    assert "T1 registered (affine) to T1c" in text
    assert "N4" in text


def test_what_was_registered_is_told_with_how_far_it_was_off():
    text = prepared({
        "T1": RegistrationReport("registered", 3.24, 1.36, 0.4),
        "T2": RegistrationReport("aligned", similarity=0.5),
        "FLAIR": RegistrationReport("aligned", similarity=0.5),
    })  # fmt: skip
    assert "T1 registered to T1c: moved 3.2 mm, turned 1.4°" in text
    assert "T2, FLAIR aligned with T1c already" in text
    assert "off" not in text


def test_what_failed_is_left_to_the_warnings():
    assert "T1" not in prepared({"T1": RegistrationReport("failed", similarity=0.1)}).split()


def test_registration_that_was_off_is_said_to_be():
    off = {name: RegistrationReport("off") for name in ("T1", "T2")}
    assert prepared(off).count("registration is off") == 1
    assert "registration" not in prepared()  # of a single contrast


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("builtin", "brain 1480 ml, found by the built-in network"),
        ("synthstrip", "found by SynthStrip"),
        ("hd-bet", "found by HD-BET"),
        ("mask", "of the mask given"),
        ("background", "as the images are stripped"),
        ("off", "brain not extracted: all that is not air was taken"),
    ],
)
def test_where_the_brain_came_from_is_told(source, says):
    assert says in prepared(brain=BrainReport(source, 1480.4))


def test_no_tumour_is_said_in_so_many_words(report):
    nothing = terminal.segmented(replace(report, finding="no tumour found"))
    assert "\nNo tumour found.\n" in nothing
    found = terminal.segmented(replace(report, finding="tumour found"))
    assert "umour found" not in found
    assert "Whole tumour" in found
    assert "Research use only" in found


def test_warnings_are_on_stderr_a_line_each(capsys):
    terminal.warn(("T1 could not be registered", "T2 covers 60% of the brain"))
    out, err = capsys.readouterr()
    assert not out
    assert err.splitlines() == [
        "metakd: warning: T1 could not be registered",
        "metakd: warning: T2 covers 60% of the brain",
    ]
