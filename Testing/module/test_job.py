"""Progress of a run and the time left."""

from MetaKDSegmentationLib.job import Job, Phase
from MetaKDSegmentationLib.protocol import Progress


def at(done, total=10, stage="encode"):
    return Progress("1", stage, done, total)


def test_time_left_follows_the_units_done():
    job = Job().enter(Phase.RUNNING, now=100.0)
    assert job.seconds_left(100.0) is None
    job = job.advance(at(1), now=102.0).advance(at(2), now=104.0)
    assert job.seconds_left(now=104.0) == 16.0
    assert job.seconds_left(now=105.0) == 15.0
    assert job.seconds_left(now=999.0) == 0.0
    assert job.text(now=104.0) == "Looking at each contrast … about 16 s left"


def test_when_memory_runs_out_the_estimate_starts_anew():
    job = Job().enter(Phase.RUNNING, now=0.0).advance(at(9), now=90.0)
    job = job.advance(at(1, total=40), now=100.0)
    assert (job.done, job.total) == (1, 40)
    job = job.advance(at(2, total=40), now=101.0)
    assert job.seconds_left(now=101.0) < 60


def test_phases_before_and_after_have_words_of_their_own():
    assert Job().text(0.0) == "" and not Job().is_running
    assert "PyTorch" in Job().enter(Phase.STARTING, 0.0).text(0.0)
    assert Job().enter(Phase.SHOWING, 0.0).is_running


def test_an_unknown_stage_is_shown_as_it_is():
    job = Job().enter(Phase.RUNNING, now=0.0).advance(at(1, stage="polish"), now=1.0)
    assert job.text(1.0).startswith("polish")


def test_every_stage_of_the_engine_has_words():
    for stage in ("read", "register", "brain", "prepare", "encode", "decode", "finish", "write"):
        job = Job().enter(Phase.RUNNING, now=0.0).advance(at(1, stage=stage), now=1.0)
        assert not job.text(1.0).startswith(stage)
