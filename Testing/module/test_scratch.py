"""The private folder."""

import os
import stat
import time

import pytest

from MetaKDSegmentationLib.scratch import NoSpaceError, Scratch


def test_only_this_user_can_read_it_and_it_is_gone_after_use(tmp_path):
    scratch = Scratch(tmp_path)
    assert not list(tmp_path.iterdir())  # nothing before it is needed
    (scratch.subfolder("example") / "t1.nii.gz").write_bytes(b"x")
    assert stat.S_IMODE(scratch.folder.stat().st_mode) == 0o700
    scratch.close()
    scratch.close()
    assert not list(tmp_path.iterdir())


def test_it_can_be_used_again_after_closing(tmp_path):
    scratch = Scratch(tmp_path)
    first = scratch.folder
    scratch.close()
    assert scratch.folder != first and scratch.folder.exists()


def test_a_full_disk_is_said_before_anything_is_written(tmp_path):
    with pytest.raises(NoSpaceError, match="free some space"):
        Scratch(tmp_path).demand(10**18)


def test_what_an_earlier_slicer_left_behind_goes_after_a_day(tmp_path):
    left, recent = tmp_path / "MetaKDSegmentation-old", tmp_path / "MetaKDSegmentation-new"
    left.mkdir()
    recent.mkdir()
    yesterday = time.time() - 25 * 3600
    os.utime(left, (yesterday, yesterday))
    scratch = Scratch(tmp_path)
    assert scratch.folder.exists() and recent.exists() and not left.exists()
