"""The button, the progress bar and the texts of the panel."""

from metakd.contrasts import Contrast

from MetaKDSegmentationLib.assignment import Assignment, Guess, Undecided
from MetaKDSegmentationLib.findings import Finding, Level
from MetaKDSegmentationLib.job import Job, Phase
from MetaKDSegmentationLib.panel_state import (
    apply_state,
    assignment_html,
    findings_html,
    progress_state,
    reasons_against,
)

FOUND = (
    Finding(Level.BLOCKING, "T1 and T2 are the same image"),
    Finding(Level.CAUTION, "T1c is absent"),
)


def test_every_reason_is_listed_not_only_the_first():
    reasons = reasons_against(FOUND, torch_problem="No torch", model_problem="No model")
    assert len(reasons) == 3
    state = apply_state(Job(), reasons)
    assert not state.enabled
    assert all(reason in state.tool_tip for reason in reasons)


def test_cautions_do_not_stop_a_run():
    reasons = reasons_against(FOUND[1:], torch_problem="", model_problem="")
    assert reasons == ()
    assert apply_state(Job(), reasons).enabled


def test_during_a_run_the_button_cancels_whatever_the_panel_says_meanwhile():
    state = apply_state(Job().enter(Phase.RUNNING, 0.0), ["no volume"])
    assert (state.text, state.enabled) == ("Cancel", True)


def test_progress_is_seen_during_a_run_only():
    assert not progress_state(Job(), 0.0).visible
    running = progress_state(Job().enter(Phase.STARTING, 0.0), 0.0)
    assert running.visible and running.total == 0  # a bar without an end


def test_names_cannot_bring_markup_into_the_panel():
    assert "<img" not in findings_html([Finding(Level.NOTE, "<img src=x>")])
    assignment = Assignment(
        {Contrast.T1: "v1"},
        {Contrast.T1: Guess(Contrast.T1, 0.9, "its name <b>")},
        (Undecided("v2", "<script>", "two volumes look like T2"),),
    )
    html = assignment_html(assignment, {"v1": "<i>x"})
    assert "<script" not in html and "<i>" not in html
    assert "90%" in html and "two volumes look like T2" in html


def test_dozens_of_unknown_volumes_do_not_fill_the_panel():
    left = tuple(Undecided(f"v{n}", f"volume {n}", "nothing known") for n in range(30))
    html = assignment_html(Assignment({}, {}, left), {})
    assert html.count("<br/>") < 10 and "26 more left to you" in html


def test_nothing_assigned_is_said():
    assert "No volume" in assignment_html(Assignment({}, {}, ()), {})
