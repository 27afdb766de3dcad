"""The panel, in the test host, with a worker of its own; a picture of every state."""

import os
import shutil
import sys
import time
from pathlib import Path

import pytest
from metakd.contrasts import CONTRASTS

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")
pytest.importorskip("PySide6", reason="PySide6 is not installed")

from slicer_host import fixtures  # noqa: E402

host = fixtures.host

PICTURES = Path(__file__).parents[2] / "screens"
PATIENT = "brats/BraTS2021/BraTS2021_00002"


class OpenPanel:
    """The module as a user has it open, with what a test asks of it."""

    def __init__(self, host, user_models):
        self.host = host
        self.widget = host.open_module("MetaKDSegmentation")
        self.logic = self.widget.logic.segmentation
        self.models = user_models

    @property
    def parameters(self):
        return self.widget.logic.getParameterNode()

    def __getattr__(self, name):
        """A widget of the form by its name."""
        return getattr(self.widget.ui, name)

    def load(self, *paths):
        return [slicer.util.loadVolume(str(path)) for path in paths]

    def apply(self, seconds=120):
        """Press Apply and wait for the end."""
        self.applyButton.click()
        assert self.logic.job.is_running, self.applyButton.toolTip
        assert self.host.wait(lambda: not self.logic.job.is_running, seconds)
        self.host.process_events()

    def cancel(self):
        """Press Cancel, later than a double click would."""
        self.host.wait(lambda: False, 0.6)
        assert self.applyButton.text == "Cancel"
        self.applyButton.click()

    def picture(self, name):
        PICTURES.mkdir(exist_ok=True)
        return self.host.screenshot(self.widget, PICTURES / f"{name}.png")


@pytest.fixture
def panel(host, user_models):
    opened = OpenPanel(host, user_models)
    yield opened
    opened.logic.close()


@pytest.fixture
def tiny_model(panel, tiny_package):
    """A model of random weights instead of the embedded one: quick."""
    shutil.copytree(tiny_package, panel.models / "tiny")
    panel.widget.enter()
    panel.parameters.model = "tiny"


@pytest.fixture
def patient(shared_data):
    """Paths of a real patient's images by BraTS suffix."""
    folder = shared_data / PATIENT
    return {path.name.split("_")[-1].split(".")[0]: path for path in folder.glob("*.nii.gz")}


@pytest.fixture
def raw_study(panel, shared_data):
    """A study as it came from the scanner in the slots: skull, thick slices, several grids."""
    folder = shared_data / "clinical" / "TCGA-FG-6692" / "raw"
    panel.load(*(folder / f"{contrast.value}.nii.gz" for contrast in CONTRASTS))
    panel.autoAssignButton.click()


def descendants(pid):
    """Process ids below a process that are alive, itself included (Linux)."""
    alive = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z":
            alive[int(stat.parent.name)] = int(fields[1])
    found, todo = set(), [pid]
    while todo:
        one = todo.pop()
        found |= {one} & set(alive)
        todo += [child for child, parent in alive.items() if parent == one]
    return found


def gone(pids, seconds=2.0):
    """Whether all these processes are gone within a time."""
    if sys.platform != "linux":
        pytest.skip("looks into /proc")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not any(descendants(pid) for pid in pids):
            return True
        time.sleep(0.02)
    return False
