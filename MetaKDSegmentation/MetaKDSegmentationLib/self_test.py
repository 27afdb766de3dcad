"""The module's self-test, for inside Slicer (and the test host): real processes, real nodes.

Without PyTorch the `rehearsal` worker stands in for the engine; everything else is the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from metakd.contrasts import Contrast
from metakd.regions import LABELS

from MetaKDSegmentationLib.acquisition import SeriesFacts
from MetaKDSegmentationLib.assignment import assign
from MetaKDSegmentationLib.parameter_node import ParameterNode
from MetaKDSegmentationLib.protocol import Failure
from MetaKDSegmentationLib.provenance import read_report
from MetaKDSegmentationLib.segment_roles import Role
from MetaKDSegmentationLib.segmentation_logic import SegmentationLogic
from MetaKDSegmentationLib.torch_setup import torch_version
from MetaKDSegmentationLib.worker_process import ENGINE, WorkerProcess

_PATIENCE = 180  # seconds, for a first import of torch on a slow disk
_REHEARSAL = "MetaKDSegmentationLib.rehearsal"


class SelfTest:
    """Test methods of `MetaKDSegmentationTest`."""

    def runTest(self) -> None:
        """All of them: what *Reload and Test* calls."""
        for name in sorted(name for name in dir(self) if name.startswith("test_")):
            self.setUp()
            try:
                getattr(self, name)()
            finally:
                self.tearDown()

    def setUp(self) -> None:
        slicer.mrmlScene.Clear()
        self.outcome: list[Any] = []
        self.logic = SegmentationLogic(
            partial(WorkerProcess, engine=ENGINE if torch_version() else _REHEARSAL),
            Path(slicer.app.temporaryPath),
            log=print,
        )

    def tearDown(self) -> None:
        self.logic.close()

    def test_names_are_assigned(self) -> None:
        names = {
            Contrast.T1: "AX T1",
            Contrast.T1C: "AX T1 POST GAD",
            Contrast.T2: "AX T2 TSE",
            Contrast.FLAIR: "T2 FLAIR SPACE",
        }
        slots = assign(SeriesFacts(id=name, name=name) for name in names.values()).slots
        self.assertEqual(dict(slots), names)

    def test_two_contrasts_become_a_segmentation(self) -> None:
        parameters = self._parameters()
        self._segment(parameters)
        segmentation = parameters.output_segmentation
        ids = [Role(label.short).segment_id for label in LABELS]
        self.assertEqual(list(segmentation.GetSegmentation().GetSegmentIDs()), ids)
        report = read_report(segmentation) or {}
        self.assertEqual(report.get("available"), ["T1c", "FLAIR"])
        self.assertEqual(report.get("generated"), ["T1", "T2"])
        self.assertGreater(parameters.volumes_table.GetNumberOfRows(), 0)
        reference = segmentation.GetNodeReference(
            segmentation.GetReferenceImageGeometryReferenceRole()
        )
        self.assertEqual(reference, parameters.t1c_volume)

    def test_brain_mask_is_kept_on_request(self) -> None:
        parameters = self._parameters()
        parameters.keep_prepared = True
        self._segment(parameters)
        report = read_report(parameters.output_segmentation) or {}
        self.assertEqual(list(report.get("registration", {})), ["FLAIR"])
        self.assertEqual(report.get("brain", {}).get("source"), "background")
        mask = slicer.util.arrayFromVolume(slicer.util.getNode("T1c brain mask"))
        scan = slicer.util.arrayFromVolume(parameters.t1c_volume)
        self.assertGreater(((mask > 0) == (scan != 0)).mean(), 0.95)

    def test_cancel_leaves_the_scene_as_it_was(self) -> None:
        parameters = self._parameters()
        before = slicer.mrmlScene.GetNumberOfNodes()
        self.logic.segment(parameters, self.outcome.append, self.outcome.append)
        self.logic.cancel()
        self.assertEqual([failure.kind for failure in self.outcome], ["cancelled"])
        self.assertFalse(self.logic.job.is_running)
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), before)

    def _segment(self, parameters: ParameterNode) -> None:
        self.logic.segment(parameters, self.outcome.append, self.outcome.append)
        self.assertTrue(self.logic.job.is_running)
        _wait(lambda: bool(self.outcome))
        self.assertTrue(self.outcome, f"no answer in {_PATIENCE} s")
        self.assertNotIsInstance(self.outcome[0], Failure, self.outcome)

    def _parameters(self) -> ParameterNode:
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")
        parameters = ParameterNode(node)
        parameters.t1c_volume = _head("T1c", seed=1)
        parameters.flair_volume = _head("FLAIR", seed=2)
        return parameters


def _head(name: str, seed: int) -> Any:
    """A small skull-stripped head: textured tissue in an ellipsoid, 0 around it."""
    size = np.array([32, 40, 36])
    places = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in size), indexing="ij"))
    inside = ((places / np.array([0.6, 0.8, 0.7])[:, None, None, None]) ** 2).sum(axis=0) < 1
    noise = np.random.default_rng(seed).normal(0, 20, inside.shape)
    tissue = np.where(inside, 400 + 100 * places[2] + 60 * places[1] + noise, 0)
    return slicer.util.addVolumeFromArray(tissue.astype(np.float32), np.diag([-2, -2, 2, 1]), name)


def _wait(until: Callable[[], bool]) -> None:
    end = time.monotonic() + _PATIENCE
    while not until() and time.monotonic() < end:
        slicer.app.processEvents()
        time.sleep(0.02)
