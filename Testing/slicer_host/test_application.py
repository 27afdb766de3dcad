"""`slicer.app`, what `slicer.util` needs it for, and the dialogs."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from slicer_host.record import record


@pytest.fixture
def slicer(host):
    import slicer

    return slicer


def test_it_has_slicers_names_and_no_others(slicer):
    assert slicer.app.applicationName == "Slicer"
    assert Path(slicer.app.temporaryPath).is_dir()
    assert slicer.app.minorVersion == 13
    with pytest.raises(AttributeError, match="extensionsManagerModel"):
        slicer.app.extensionsManagerModel()
    with pytest.raises(NotImplementedError, match="pythonConsole"):
        slicer.app.pythonConsole()
    with pytest.raises(AttributeError, match="does not exist"):
        slicer.app.noSuchThing = 1


def test_every_recorded_function_of_util_is_there(slicer):
    missing = [name for name in record()["slicer_util"] if not hasattr(slicer.util, name)]
    assert missing == []


def test_packaging_has_the_recorded_signatures(slicer):
    import inspect

    for name, signature in record()["slicer_packaging"].items():
        assert callable(getattr(slicer.packaging, name))
        if name not in ("canonicalize_name", "default_environment"):  # of the library behind it
            recorded = [part.partition(":")[0].strip("( )") for part in signature.split(", ")]
            ours = inspect.signature(getattr(slicer.packaging, name)).parameters
            assert all(part in recorded for part in ours), name


def test_packaging_answers_and_installs_nothing(slicer):
    assert slicer.packaging.pip_check("numpy>=1.20")
    assert not slicer.packaging.pip_check(["numpy", "no-such-package-at-all"])
    done = []
    slicer.packaging.pip_install("no-such-package-at-all", completedCallback=done.append)
    assert done == [0]
    assert slicer.packaging.requested == [("install", "no-such-package-at-all")]


def test_settings_are_the_tests_own(slicer):
    import qt

    qt.QSettings().setValue("Developer/X", True)
    assert slicer.util.settingsValue("Developer/X", False, converter=slicer.util.toBool)
    assert slicer.app.userSettings().fileName().startswith(slicer.app.slicerHome)


def test_a_temporary_folder_is_new_each_time(slicer):
    first, second = slicer.util.tempDirectory("key"), slicer.util.tempDirectory("key")
    assert first != second
    assert Path(first).parent == Path(slicer.app.temporaryPath)


def test_messages_are_recorded_and_do_not_wait(host, slicer):
    slicer.util.errorDisplay("it failed", detailedText="because")
    slicer.util.warningDisplay("careful")
    slicer.util.infoDisplay("by the way")
    slicer.util.messageBox("hello")
    slicer.util.delayDisplay("short", 100)
    assert host.dialogs.texts("error") == ["it failed"]
    assert host.dialogs.shown[0].details == "because"
    assert [message.kind for message in host.dialogs.shown[1:]] == ["warning", "info", "message"]


def test_confirmations_answer_as_scripted_and_without_a_script_as_in_testing_mode(host, slicer):
    host.dialogs.answer(True, False, True)
    assert slicer.util.confirmOkCancelDisplay("really?") is True
    assert slicer.util.confirmYesNoDisplay("really?") is False
    assert slicer.util.confirmRetryCloseDisplay("again?") is True
    # Slicer 5.13 means to answer yes here, and compares True with the button's 1024.
    assert slicer.util.confirmOkCancelDisplay("really?") is False


def test_a_dialog_that_nobody_answers_fails(host, slicer):
    import qt

    with pytest.raises(RuntimeError, match="'Model' would wait"):
        qt.QFileDialog.getOpenFileName(None, "Model", "", "*.zip")
    host.dialogs.answer("/a/model.zip", qt.QMessageBox.Yes, lambda dialog: dialog.windowTitle)
    assert qt.QFileDialog.getOpenFileName(None, "Model", "", "*.zip") == "/a/model.zip"
    assert qt.QMessageBox.question(None, "Sure", "Really?") == qt.QMessageBox.Yes
    dialog = qt.QDialog()
    dialog.windowTitle = "Details"
    assert dialog.exec_() == "Details"


def test_a_link_is_recorded_and_not_opened(host, slicer):
    import qt

    assert qt.QDesktopServices.openUrl(qt.QUrl("https://example.org"))
    assert host.dialogs.opened_urls == ["https://example.org"]


def test_an_error_is_shown_to_a_user_and_raised_to_a_test(host, slicer):
    host.testing = False
    with (
        pytest.raises(ZeroDivisionError),
        slicer.util.tryWithErrorDisplay("Failed.", waitCursor=True),
    ):
        _ = 1 / 0
    assert host.dialogs.texts("error") == ["Failed.\n\ndivision by zero"]


def test_volumes_and_segmentations_are_read(slicer, tmp_path):
    volume = slicer.util.addVolumeFromArray(np.arange(24.0).reshape(2, 3, 4), name="T1")
    assert slicer.util.saveNode(volume, str(tmp_path / "t1.nrrd"))
    read = slicer.util.loadVolume(str(tmp_path / "t1.nrrd"), {"name": "read"})
    assert read.GetName() == "read"
    assert (slicer.util.arrayFromVolume(read) == slicer.util.arrayFromVolume(volume)).all()
    with pytest.raises(RuntimeError, match="Failed to load"):
        slicer.util.loadVolume(str(tmp_path / "absent.nrrd"))


def test_the_views_are_those_of_the_scene(slicer):
    layout = slicer.app.layoutManager()
    volume = slicer.util.addVolumeFromArray(np.zeros((4, 4, 4)), name="T1")
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    assert set(layout.sliceViewNames()) == {"Red", "Green", "Yellow"}
    logic = layout.sliceWidget("Red").sliceLogic()
    assert logic.GetSliceCompositeNode().GetBackgroundVolumeID() == volume.GetID()
    assert layout.sliceWidget("Red").mrmlSliceNode().GetName() == "Red"
    slicer.util.resetSliceViews()
    slicer.util.resetThreeDViews()


def test_pauses_of_rendering_are_balanced(slicer):
    with slicer.util.RenderBlocker():
        assert slicer.app.pauseRender() == 2
        assert slicer.app.resumeRender() == 1
    assert slicer.app.pauseRender() == 1
    assert slicer.app.resumeRender() == 0


def test_a_translation_is_the_text_itself(slicer):
    from slicer.i18n import tr, translate

    assert tr("Apply") == "Apply"
    assert translate("context", "Segmentation") == "Segmentation"


def test_python_slicer_runs_this_python_as_its_child(slicer):
    launcher = shutil.which("PythonSlicer")
    assert launcher.startswith(slicer.app.slicerHome)
    code = "import os, sys; print(os.getpid(), sys.executable, input(), flush=True); sys.exit(3)"
    process = subprocess.Popen(
        [launcher, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    pid, executable, said = process.communicate("hello\n")[0].split()
    assert (executable, said, process.returncode) == (sys.executable, "hello", 3)
    assert int(pid) != process.pid


def test_killing_the_launcher_leaves_python_alone(slicer):
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    process = subprocess.Popen(
        [shutil.which("PythonSlicer"), "-c", code], stdout=subprocess.PIPE, text=True
    )
    child = int(process.stdout.readline())
    process.kill()
    process.wait()
    os.kill(child, 0)  # raises if it is gone
    os.kill(child, signal.SIGKILL)
    process.stdout.close()


def test_a_console_process_reports_its_lines_while_the_application_lives(host, slicer):
    lines, codes = [], []
    slicer.util.launchConsoleProcess(
        ["sh", "-c", "echo one; echo two"],
        blocking=False,
        logCallback=lines.append,
        completedCallback=codes.append,
    )
    assert host.wait(lambda: codes, seconds=10)
    assert (lines, codes) == (["one", "two"], [0])
