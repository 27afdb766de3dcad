"""Output files appear whole or not at all."""

import os
import signal
import stat
from pathlib import Path

import pytest
from metakd.outputs import OutputFiles, check_writable


def write(place, text):
    Path(place).write_text(text)


def test_files_appear_together_and_nothing_else_does(tmp_path):
    with OutputFiles() as files:
        for name in ("seg.nii.gz", "report.json"):
            write(files.stage(tmp_path / name), name)
        assert not (tmp_path / "seg.nii.gz").exists()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "seg.nii.gz": "seg.nii.gz",
        "report.json": "report.json",
    }


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_interruption_leaves_the_folder_as_it_was(tmp_path, error):
    (tmp_path / "seg.nii.gz").write_text("earlier result")
    with pytest.raises(error), OutputFiles() as files:
        write(files.stage(tmp_path / "seg.nii.gz"), "half")
        write(files.stage(tmp_path / "report.json"), "half")
        raise error
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "seg.nii.gz": "earlier result"
    }


def test_an_earlier_result_is_replaced(tmp_path):
    (tmp_path / "seg.nii").write_text("earlier")
    with OutputFiles() as files:
        write(files.stage(tmp_path / "seg.nii"), "later")
    assert (tmp_path / "seg.nii").read_text() == "later"


def test_a_file_that_was_staged_but_never_written_lets_none_appear(tmp_path):
    with pytest.raises(OSError), OutputFiles() as files:
        write(files.stage(tmp_path / "a.json"), "{}")
        files.stage(tmp_path / "b.json")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "ending"),
    [
        ("seg.nii.gz", ".nii.gz"),
        ("seg.nii", ".nii"),
        ("patient 1.5 mm.nrrd", ".nrrd"),
        ("a.json", ".json"),
    ],
)
def test_the_temporary_name_keeps_the_format_and_hides(tmp_path, name, ending):
    with OutputFiles() as files:
        place = Path(files.stage(tmp_path / name))
        assert place.name.endswith(ending)
        assert place.name.startswith(".")
        place.touch()


def test_one_path_staged_twice_leaves_no_temporary_file(tmp_path):
    with pytest.raises(ValueError), OutputFiles() as files:
        for text in ("one", "two"):
            write(files.stage(tmp_path / "seg.nii"), text)
    assert not list(tmp_path.iterdir())


def test_a_new_file_is_as_readable_as_any_other(tmp_path):
    (tmp_path / "plain").touch()
    with OutputFiles() as files:
        write(files.stage(tmp_path / "seg.nii"), "x")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "seg.nii")]
    assert modes[0] == modes[1]


def file_in_place_of_folder(folder):
    (folder / "file").touch()
    return folder / "file" / "seg.nii"


def existing_folder(folder):
    (folder / "seg.nii").mkdir()
    return folder / "seg.nii"


def named_pipe(folder):
    os.mkfifo(folder / "seg.nii")
    return folder / "seg.nii"


@pytest.mark.parametrize(
    ("place", "says"),
    [
        (lambda folder: folder / "missing" / "seg.nii", "no such folder"),
        (file_in_place_of_folder, "no such folder"),
        (existing_folder, "is a folder"),
        pytest.param(
            named_pipe, "not a regular file", id="device or pipe, which a rename would destroy"
        ),
    ],
)
def test_a_place_that_cannot_take_a_file_is_named_with_what_to_do(tmp_path, place, says):
    with pytest.raises(OSError, match=says):
        check_writable(place(tmp_path))


@pytest.mark.parametrize("folder", ["/proc", "/sys"])
def test_a_folder_that_takes_no_files_is_found_out_whatever_its_permissions_say(folder):
    if not Path(folder).is_dir():
        pytest.skip(f"this system has no {folder}")
    with pytest.raises(OSError, match="cannot be written to"):
        check_writable(Path(folder) / "seg.nii.gz")


def test_checking_leaves_nothing_behind(tmp_path):
    check_writable(tmp_path / "seg.nii")
    assert not list(tmp_path.iterdir())


def test_a_signal_between_two_renames_waits_until_all_files_are_there(tmp_path, monkeypatch):
    rename, handler = Path.replace, signal.getsignal(signal.SIGTERM)

    def rename_and_be_killed(self, target):
        rename(self, target)
        os.kill(os.getpid(), signal.SIGTERM)

    def stop(number, frame):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", rename_and_be_killed)
    signal.signal(signal.SIGTERM, stop)
    try:
        with pytest.raises(KeyboardInterrupt), OutputFiles() as files:
            for name in "ab":
                Path(files.stage(tmp_path / name)).write_text(name)
    finally:
        signal.signal(signal.SIGTERM, handler)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
