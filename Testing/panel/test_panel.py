"""Every state of the panel, with real nodes and a real worker; a picture of each in `screens/`."""

import json
import shutil
import sys
import time

import numpy as np
import pytest
import SimpleITK as sitk
from metakd.contrasts import CONTRASTS, Contrast
from metakd.regions import LABELS
from metakd.registration import register
from metakd.study import read_study

from .conftest import descendants, gone

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")


def reasons(panel):
    assert not panel.applyButton.enabled
    return panel.applyButton.toolTip


class TestBeforeTheRun:
    def test_an_empty_scene_says_what_is_needed(self, panel):
        assert "choose at least one volume" in reasons(panel)
        assert not panel.setupSection.visible and not panel.resultsSection.visible
        assert "absent" in panel.t1State.text
        panel.picture("01-empty")

    def test_auto_assign_fills_the_slots_of_a_real_patient(self, panel, patient):
        panel.load(*(patient[name] for name in ("flair", "t1", "t1ce", "t2")))
        panel.autoAssignButton.click()
        assert panel.t1Selector.currentNode().GetName() == "BraTS2021_00002_t1"
        assert panel.t1cSelector.currentNode().GetName() == "BraTS2021_00002_t1ce"
        assert panel.t2Selector.currentNode().GetName() == "BraTS2021_00002_t2"
        assert panel.flairSelector.currentNode().GetName() == "BraTS2021_00002_flair"
        assert "240 × 240 × 155" in panel.t1State.text
        assert panel.applyButton.enabled and panel.findingsText.text == ""
        panel.picture("02-assigned")

    def test_absent_t1c_is_a_caution_and_no_obstacle(self, panel, patient):
        (panel.parameters.t1_volume,) = panel.load(patient["t1"])
        assert "nhancing tumour" in panel.findingsText.text
        assert "edema" in panel.findingsText.text or "edema" in panel.findingsText.text
        assert panel.applyButton.enabled
        panel.picture("03-only-t1")

    def test_one_volume_twice_is_refused_with_the_reason(self, panel, patient):
        (volume,) = panel.load(patient["flair"])
        panel.parameters.t2_volume = panel.parameters.flair_volume = volume
        assert "T2" in reasons(panel) and "FLAIR" in reasons(panel)
        panel.picture("04-twice")

    def test_what_will_be_done_to_a_raw_study_is_said(self, panel, raw_study):
        assert "the brain will be extracted first" in panel.findingsText.text
        assert "registered to it where needed" in panel.findingsText.text
        assert "▲" not in panel.findingsText.text and panel.applyButton.enabled
        panel.picture("05-raw")
        panel.registerCheckBox.checked = False
        panel.extractBrainCheckBox.checked = False
        assert "resampled, not registered" in panel.findingsText.text
        assert "▲&nbsp;T1, T1c, T2, FLAIR: skull visible" in panel.findingsText.text
        assert not panel.brainMaskSelector.enabled and not panel.affineCheckBox.enabled
        panel.picture("08-raw-as-it-is")

    def test_a_brain_mask_is_looked_at_before_the_run(self, panel, raw_study):
        mask = slicer.util.addVolumeFromArray(
            np.zeros((5, 5, 5), np.uint8), None, "my mask", "vtkMRMLLabelMapVolumeNode"
        )
        panel.brainMaskSelector.setCurrentNode(mask)
        assert "brain mask is empty" in reasons(panel)
        slicer.util.arrayFromVolume(mask)[1:3] = 1
        slicer.util.arrayFromVolumeModified(mask)
        assert "outside the brain mask will be left out" in panel.findingsText.text
        assert "another grid" in panel.findingsText.text and panel.applyButton.enabled
        panel.picture("09-brain-mask")
        panel.extractBrainCheckBox.checked = False
        assert "brain mask" not in panel.findingsText.text

    def test_a_localizer_is_refused(self, panel):
        scout = slicer.util.addVolumeFromArray(
            np.arange(3 * 60 * 60, dtype=np.float32).reshape(3, 60, 60), None, "x"
        )
        panel.parameters.flair_volume = scout
        assert "no localizer" in reasons(panel)

    def test_without_torch_set_up_appears_and_apply_says_why(self, panel, patient, monkeypatch):
        monkeypatch.setattr("MetaKDSegmentationLib.setup_section.torch_version", lambda: None)
        panel.widget.enter()
        (panel.parameters.flair_volume,) = panel.load(patient["flair"])
        assert "PyTorch is not installed" in reasons(panel)
        assert panel.setupSection.visible and panel.installTorchButton.visible
        panel.picture("06-no-torch")

    def test_installing_torch_without_its_extension_says_what_to_install(self, panel, monkeypatch):
        monkeypatch.setattr("MetaKDSegmentationLib.setup_section.torch_version", lambda: None)
        panel.widget.enter()
        panel.installTorchButton.click()
        assert "Extensions Manager" in panel.setupText.text

    @pytest.mark.parametrize("agreed", [True, False])
    def test_torch_is_installed_by_its_extension_after_asking(
        self, panel, monkeypatch, tmp_path, agreed
    ):
        """The extension is a stand-in that writes down what it is asked for."""
        (tmp_path / "PyTorchUtils.py").write_text(
            "asked = []\nclass PyTorchUtilsLogic:\n"
            "    def installTorch(self, **options): asked.append(options)\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "PyTorchUtils", raising=False)
        versions = iter([None, None, "2.13.0", "2.13.0"])
        for section in ("setup_section", "torch_setup"):
            monkeypatch.setattr(
                f"MetaKDSegmentationLib.{section}.torch_version", lambda: next(versions)
            )
        panel.widget.enter()
        panel.host.testing = False  # else Slicer answers every question with no
        panel.host.dialogs.answer(agreed)
        panel.installTorchButton.click()
        import PyTorchUtils

        wanted = {"askConfirmation": False, "torchVersionRequirement": ">=2.2"}
        assert PyTorchUtils.asked == ([wanted] if agreed else [])
        assert "0.2 to 3 GB" in panel.host.dialogs.shown[-1].text

    def test_a_broken_torch_is_found_by_trying_it(self, panel, monkeypatch, tmp_path):
        (tmp_path / "torch").mkdir()
        (tmp_path / "torch" / "__init__.py").write_text("raise ImportError('libc10.so is gone')")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        panel.logic.check_torch()
        assert panel.host.wait(lambda: panel.logic.ready is not None, 60)
        assert "libc10.so is gone" in panel.setupText.text and panel.setupSection.visible
        panel.picture("07-broken-torch")

    def test_a_torch_that_takes_python_down_is_said(self, panel, monkeypatch, tmp_path):
        (tmp_path / "torch").mkdir()
        (tmp_path / "torch" / "__init__.py").write_text("import os; os._exit(11)")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        panel.checkTorchButton.click()
        assert panel.host.wait(lambda: panel.logic.tried is not None, 60)
        assert "ended before it was ready" in panel.setupText.text and panel.setupSection.visible
        assert "does not work" in reasons(panel)

    def test_a_torch_that_is_too_old_is_no_better(self, panel, monkeypatch, tmp_path):
        (tmp_path / "torch").mkdir()
        (tmp_path / "torch" / "__init__.py").write_text("__version__ = '2.1.0'")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        panel.logic.check_torch()
        assert panel.host.wait(lambda: panel.logic.ready is not None, 60)
        assert "too old" in panel.setupText.text and panel.setupSection.visible
        panel.logic.close()
        panel.widget.enter()
        assert "does not work" in reasons(panel)  # still known without the worker

    def test_slots_follow_the_scene(self, panel, patient):
        (volume,) = panel.load(patient["flair"])
        panel.parameters.flair_volume = volume
        slicer.mrmlScene.RemoveNode(volume)
        panel.host.process_events()
        assert panel.flairSelector.currentNode() is None
        assert not panel.applyButton.enabled

    def test_a_removed_volume_leaves_its_slot_empty_and_no_other_takes_it(self, panel, patient):
        panel.load(patient["t1"], patient["flair"])
        panel.autoAssignButton.click()
        slicer.mrmlScene.RemoveNode(panel.parameters.t1_volume)
        panel.host.process_events()
        assert panel.parameters.t1_volume is None and panel.t1Selector.currentNode() is None
        assert panel.parameters.flair_volume is panel.flairSelector.currentNode() is not None

    def test_nothing_runs_before_it_is_asked_for(self, panel):
        assert panel.logic._client._process is None


class TestTheRun:
    def test_from_auto_assign_to_the_tumour_on_screen(self, panel, patient):
        """The embedded model on a real patient; the expert's segmentation judges it."""
        panel.load(patient["t1ce"], patient["flair"])
        panel.autoAssignButton.click()
        panel.applyButton.click()
        assert panel.applyButton.text == "Cancel" and panel.progressBar.visible
        assert panel.host.wait(lambda: panel.logic.job.done >= 3, 120)
        panel.picture("10-running")
        assert panel.host.wait(lambda: not panel.logic.job.is_running, 120)
        segmentation = panel.parameters.output_segmentation
        truth = expert_segmentation(patient["seg"], panel.parameters.t1c_volume)
        panel.parameters.reference_segmentation = truth
        panel.verifySection.collapsed = False
        panel.compareButton.click()
        assert panel.host.wait(lambda: "Dice" in panel.scoresText.text, 60)
        panel.picture("11-result")
        report = json.loads(report_text(segmentation))
        assert report["available"] == ["T1c", "FLAIR"]
        assert float(panel.scoresText.text.split("WT")[1].split("<b>")[1][:5]) > 0.6
        assert panel.parameters.volumes_table is table_of(segmentation)
        assert panel.parameters.disagreement_volume is not None

    def test_all_contrasts_then_one_less(self, panel, patient, tiny_model):
        panel.load(*(patient[name] for name in ("flair", "t1", "t1ce", "t2")))
        panel.autoAssignButton.click()
        panel.apply()
        first = panel.parameters.output_segmentation
        panel.parameters.t2_volume = None
        panel.apply()
        assert panel.parameters.output_segmentation is first  # replaced, not piled up
        assert "T2" in json.loads(report_text(first))["generated"]
        assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 1
        assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLTableNode") == 1

    def test_probabilities_and_overlapping_regions(self, panel, patient, tiny_model):
        (panel.parameters.flair_volume,) = panel.load(patient["flair"])
        panel.advancedSection.collapsed = False
        panel.overlappingCheckBox.checked = True
        panel.probabilitiesCheckBox.checked = True
        panel.apply()
        segments = panel.parameters.output_segmentation.GetSegmentation()
        names = [segments.GetNthSegment(i).GetName() for i in range(segments.GetNumberOfSegments())]
        assert sorted(names) == ["Enhancing tumour", "Tumour core", "Whole tumour"]
        volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        assert len(volumes) == 4
        panel.picture("12-advanced")

    def test_what_was_moved_and_the_brain_can_be_kept(self, panel, raw_study, tiny_model, tmp_path):
        flair, t1c = panel.parameters.flair_volume, panel.parameters.t1c_volume
        panel.parameters.t1_volume = panel.parameters.t2_volume = None
        panel.keepPreparedCheckBox.checked = True
        panel.apply()
        panel.picture("15-raw-result")
        outcome = report_of(panel)["registration"]["FLAIR"]
        assert outcome["outcome"] == "registered" and outcome["moved_mm"] > 5
        assert "FLAIR: registered, moved" in panel.resultsText.text
        assert "Brain: found by" in panel.resultsText.text
        moved, mask = slicer.util.getNode("flair registered"), slicer.util.getNode("t1c brain mask")
        brain = slicer.util.arrayFromVolume(mask) > 0
        assert 1000 < brain.sum() * np.prod(t1c.GetSpacing()) / 1000 < 2000  # ml
        # In its own intensities, of which float32 holds 1049, the largest, to 1e-4.
        expected = brought_to(t1c, flair, tmp_path)
        assert np.abs(slicer.util.arrayFromVolume(moved) - expected).max() < 1e-3
        assert moved.GetDisplayNode().GetWindow() == flair.GetDisplayNode().GetWindow()
        nodes = slicer.mrmlScene.GetNumberOfNodes()
        panel.apply()
        assert slicer.mrmlScene.GetNumberOfNodes() == nodes
        panel.autoAssignButton.click()
        assert panel.parameters.flair_volume is flair  # not the registered one

    def test_a_given_brain_mask_is_used(self, panel, patient, tiny_model):
        (flair,) = panel.load(patient["flair"])
        panel.parameters.flair_volume = flair
        half = (slicer.util.arrayFromVolume(flair) != 0).astype(np.uint8)
        half[:, :, : half.shape[2] // 2] = 0
        mask = slicer.util.addVolumeFromArray(half, None, "half", "vtkMRMLLabelMapVolumeNode")
        mask.CopyOrientation(flair)
        panel.brainMaskSelector.setCurrentNode(mask)
        panel.keepPreparedCheckBox.checked = True
        panel.apply()
        brain = report_of(panel)["brain"]
        assert brain["source"] == "mask"
        assert brain["volume_ml"] == pytest.approx(half.sum() / 1000, rel=0.05)
        assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLLabelMapVolumeNode") == 1

    def test_both_steps_can_be_left_out(self, panel, patient, tiny_model):
        panel.parameters.t2_volume, panel.parameters.flair_volume = panel.load(
            patient["t2"], patient["flair"]
        )
        panel.registerCheckBox.checked = panel.extractBrainCheckBox.checked = False
        panel.apply()
        assert "not registered" in panel.resultsText.text
        assert "Brain: not extracted" in panel.resultsText.text

    def test_a_failure_is_said_beside_the_button_and_changes_nothing(self, panel, patient):
        (panel.parameters.flair_volume,) = panel.load(patient["flair"])
        panel.deviceSelector.setCurrentIndex(2)  # CUDA, which is not here
        panel.apply()
        assert "cuda" in panel.statusText.text
        assert panel.parameters.output_segmentation is None
        assert panel.applyButton.text == "Apply" and panel.applyButton.enabled
        panel.picture("13-failed")

    def test_cancel_ends_the_worker_and_all_its_children(self, panel, patient):
        (panel.parameters.flair_volume,) = panel.load(patient["flair"])
        before = slicer.mrmlScene.GetNumberOfNodes()
        panel.applyButton.click()
        assert panel.host.wait(lambda: panel.logic.job.done >= 1, 120)
        processes = descendants(panel.logic._client._process._process.processId())
        assert len(processes) >= 2  # launcher and Python
        panel.host.wait(lambda: False, 0.6)  # no double click
        start = time.monotonic()
        panel.applyButton.click()
        assert gone(processes, 2.0 - (time.monotonic() - start))
        assert "Cancelled" in panel.statusText.text and panel.applyButton.text == "Apply"
        assert slicer.mrmlScene.GetNumberOfNodes() == before
        panel.picture("14-cancelled")

    def test_cancel_before_the_worker_has_said_a_word(self, panel, patient):
        (panel.parameters.flair_volume,) = panel.load(patient["flair"])
        panel.applyButton.click()
        process = panel.logic._client._process._process
        assert process.waitForStarted(5000)
        processes = descendants(process.processId())
        panel.host.wait(lambda: panel.logic._client._pid is not None, 0.6)
        panel.logic._client._pid = None  # as if it had been even quicker
        panel.cancel()
        assert gone(processes, 2.0)

    def test_after_a_cancel_the_next_run_works(self, panel, patient, tiny_model):
        (panel.parameters.flair_volume,) = panel.load(patient["flair"])
        panel.applyButton.click()
        panel.cancel()
        panel.apply()
        assert panel.parameters.output_segmentation is not None

    def test_a_double_click_starts_once_and_cancels_nothing(self, panel, patient, tiny_model):
        (panel.parameters.flair_volume,) = panel.load(patient["flair"])
        panel.applyButton.click()
        panel.applyButton.click()
        assert panel.logic.job.is_running
        assert panel.host.wait(lambda: not panel.logic.job.is_running, 120)
        assert panel.parameters.output_segmentation is not None

    def test_a_reference_that_is_absent_gives_way(self, panel, patient, tiny_model):
        (panel.parameters.flair_volume,) = panel.load(patient["flair"])
        panel.referenceSelector.setCurrentIndex(4)  # T1
        assert "FLAIR" in panel.findingsText.text
        panel.apply()
        report = json.loads(report_text(panel.parameters.output_segmentation))
        assert report["reference"] == "FLAIR"

    def test_a_reference_changed_during_the_run_is_refused(self, panel, patient, tiny_model):
        (volume,) = panel.load(patient["flair"])
        panel.parameters.flair_volume = volume
        panel.applyButton.click()
        slicer.util.updateVolumeFromArray(volume, np.zeros((70, 60, 50), np.float32))
        assert panel.host.wait(lambda: not panel.logic.job.is_running, 120)
        assert "Apply again" in panel.statusText.text
        assert panel.parameters.output_segmentation is None
        assert not slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")

    def test_a_python_that_cannot_be_started_is_said(self, panel, patient, monkeypatch):
        (panel.parameters.flair_volume,) = panel.load(patient["flair"])
        monkeypatch.setattr(
            "MetaKDSegmentationLib.worker_process.python_launcher", lambda: "/no/PythonSlicer"
        )
        panel.apply(10)
        assert "/no/PythonSlicer cannot be started" in panel.statusText.text

    def test_a_killed_worker_is_said(self, panel, patient):
        (panel.parameters.flair_volume,) = panel.load(patient["flair"])
        panel.applyButton.click()
        assert panel.host.wait(lambda: panel.logic.job.done >= 1, 120)
        import os
        import signal

        os.kill(panel.logic._client._pid, signal.SIGKILL)
        assert panel.host.wait(lambda: not panel.logic.job.is_running, 10)
        assert "ended unexpectedly" in panel.statusText.text

    def test_when_the_application_is_gone_the_worker_deletes_the_files(self, panel, patient):
        """The pipe breaks as it does when Slicer crashes: nobody ends or cleans anything."""
        (panel.parameters.flair_volume,) = panel.load(patient["flair"])
        panel.applyButton.click()
        assert panel.host.wait(lambda: panel.logic.job.done >= 1, 120)
        folder = panel.logic._scratch.folder
        assert any(folder.iterdir())
        process = panel.logic._client._process._process
        process.blockSignals(True)
        process.closeWriteChannel()
        assert panel.host.wait(lambda: not folder.exists(), 5)


class TestTheScene:
    def test_closing_it_during_a_run_ends_the_worker_and_leaves_no_file(self, panel, patient):
        (panel.parameters.flair_volume,) = panel.load(patient["flair"])
        panel.applyButton.click()
        assert panel.host.wait(lambda: panel.logic.job.done >= 1, 120)
        folder = panel.logic._scratch.folder
        processes = descendants(panel.logic._client._process._process.processId())
        panel.host.close_scene()
        assert gone(processes) and not folder.exists()
        assert "choose at least one volume" in reasons(panel)

    def test_closing_the_application_during_a_run(self, panel, patient):
        (panel.parameters.flair_volume,) = panel.load(patient["flair"])
        panel.applyButton.click()
        assert panel.host.wait(lambda: panel.logic.job.done >= 1, 120)
        logic = panel.logic
        folder = logic._scratch.folder
        processes = descendants(logic._client._process._process.processId())
        panel.host.quit()
        assert gone(processes) and not folder.exists()

    def test_saving_and_loading_restores_the_panel(self, panel, patient, tiny_model, tmp_path):
        panel.load(patient["t1ce"], patient["flair"])
        panel.autoAssignButton.click()
        panel.deviceSelector.setCurrentIndex(1)
        panel.conventionSelector.setCurrentIndex(1)
        panel.registerCheckBox.checked = False
        panel.apply()
        shown = panel.resultsText.text
        panel.host.save_scene(tmp_path / "scene.mrb")
        panel.host.load_scene(tmp_path / "scene.mrb")
        assert panel.t1cSelector.currentNode().GetName() == "BraTS2021_00002_t1ce"
        assert panel.t1Selector.currentNode() is None
        assert (panel.deviceSelector.currentIndex, panel.conventionSelector.currentIndex) == (1, 1)
        assert not panel.registerCheckBox.checked and panel.extractBrainCheckBox.checked
        assert panel.resultsText.text == shown and panel.resultsSection.visible
        assert panel.applyButton.enabled
        panel.picture("20-restored")

    def test_importing_into_the_scene_keeps_the_slots(self, panel, patient, tmp_path):
        panel.load(patient["t1ce"], patient["flair"])
        panel.autoAssignButton.click()
        other = slicer.vtkMRMLScene()
        other.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Other")
        other.SetURL(str(tmp_path / "other.mrml"))
        other.Commit()
        slicer.util.loadScene(str(tmp_path / "other.mrml"))
        assert panel.parameters.flair_volume is panel.flairSelector.currentNode() is not None
        assert panel.applyButton.enabled

    def test_the_example_study_comes_from_the_worker(self, panel):
        panel.exampleButton.click()
        assert panel.host.wait(lambda: panel.parameters.flair_volume is not None, 120)
        assert all(getattr(panel.parameters, f"{c.value}_volume") for c in CONTRASTS)
        assert not any(  # nothing in the scene points into the private folder
            str(panel.logic._scratch.folder) in (node.GetFileName() or "")
            for node in slicer.util.getNodesByClass("vtkMRMLStorageNode")
        )
        assert panel.applyButton.enabled
        panel.picture("21-example")


class TestModels:
    def test_the_card_is_in_the_tooltip_and_the_details(self, panel):
        assert "Research use only" in panel.modelSelector.toolTip
        panel.modelDetailsButton.setChecked(True)
        assert panel.modelDetails.visible and "CC BY" in panel.modelDetails.html
        assert not panel.removeModelButton.enabled
        panel.picture("30-model-details")

    def test_import_choose_and_remove(self, panel, tiny_package):
        panel.widget.panel._model.import_package(tiny_package)
        assert panel.host.wait(lambda: panel.parameters.model == "tiny", 60)
        assert panel.removeModelButton.enabled
        panel.host.dialogs.answer(True)
        panel.removeModelButton.click()
        assert not (panel.models / "tiny").exists()
        assert panel.modelSelector.currentText.endswith("(embedded)")

    def test_what_is_no_package_is_refused_in_words(self, panel, tmp_path):
        panel.widget.panel._model.import_package(tmp_path)
        assert panel.host.wait(lambda: "package" in panel.statusText.text, 60)

    def test_a_model_that_a_scene_asks_for_and_is_not_here_is_no_other(self, panel, patient):
        (panel.parameters.flair_volume,) = panel.load(patient["flair"])
        panel.parameters.model = "somebody-elses"
        assert panel.modelSelector.currentText == "somebody-elses (missing)"
        assert "somebody-elses of this scene is not installed" in reasons(panel)
        panel.modelSelector.setCurrentIndex(0)
        assert panel.applyButton.enabled


class TestAfterwards:
    """What is shown stays true when something changes after the run."""

    @pytest.fixture
    def result(self, panel, patient, tiny_model):
        panel.parameters.t2_volume, panel.parameters.flair_volume = panel.load(
            patient["t2"], patient["flair"]
        )
        panel.apply()
        return panel.parameters.output_segmentation

    def test_other_volumes_in_the_slots_are_remarked(self, panel, result):
        assert "Apply again" not in panel.resultsText.text
        panel.parameters.t2_volume = None
        assert "not those of this result" in panel.resultsText.text
        panel.picture("40-inputs-changed")

    def test_an_edited_result_is_remarked_and_never_overwritten(self, panel, result):
        erase(result, panel.parameters.flair_volume)
        assert "Edited since" in panel.resultsText.text
        panel.apply()
        assert panel.parameters.output_segmentation is not result
        assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 2
        assert "Edited since" not in panel.resultsText.text

    def test_the_result_of_another_patient_is_never_overwritten(self, panel, result, shared_data):
        other = "brats/BraTS2021/BraTS2021_00495/BraTS2021_00495_flair.nii.gz"
        panel.parameters.t2_volume = None
        (panel.parameters.flair_volume,) = panel.load(shared_data / other)
        panel.apply()
        assert panel.parameters.output_segmentation is not result

    def test_each_result_has_a_table_of_its_own(self, panel, result, shared_data):
        other = "brats/BraTS2021/BraTS2021_00495/BraTS2021_00495_flair.nii.gz"
        first = table_of(result)
        panel.parameters.t2_volume = None
        (panel.parameters.flair_volume,) = panel.load(shared_data / other)
        panel.apply()
        assert table_of(panel.parameters.output_segmentation) is not first
        assert table_of(result) is first

    def test_an_edited_result_is_not_overwritten_after_a_round_trip_through_a_file(
        self, panel, result, tmp_path
    ):
        path = tmp_path / "mine.seg.nrrd"
        assert slicer.util.saveNode(result, str(path))
        loaded = slicer.util.loadSegmentation(str(path))
        panel.parameters.output_segmentation = loaded
        panel.apply()
        assert panel.parameters.output_segmentation is not loaded

    def test_a_tidied_temporary_folder_is_made_anew(self, panel, result):
        shutil.rmtree(panel.logic._scratch.folder)
        panel.apply()
        assert panel.statusText.text == "" and panel.applyButton.enabled

    def test_scores_do_not_outlive_what_they_are_of(self, panel, patient, result):
        flair = panel.parameters.flair_volume
        panel.parameters.reference_segmentation = expert_segmentation(patient["seg"], flair)
        panel.compareButton.click()
        assert panel.host.wait(lambda: "Dice" in panel.scoresText.text, 60)
        assert panel.parameters.disagreement_volume is not None
        erase(result, flair)
        assert panel.scoresText.text == ""
        panel.apply()
        assert panel.parameters.disagreement_volume is None

    def test_surfaces_are_left_alone(self, panel, patient, result):
        surfaces = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Surfaces")
        surfaces.GetSegmentation().SetSourceRepresentationName("Closed surface")
        surfaces.GetSegmentation().AddEmptySegment("mine", "mine")
        panel.parameters.output_segmentation = surfaces
        panel.apply()
        assert panel.parameters.output_segmentation is not surfaces
        assert list(surfaces.GetSegmentation().GetSegmentIDs()) == ["mine"]

    def test_a_report_of_another_version_is_ignored(self, panel, result):
        result.SetAttribute("MetaKDSegmentation.Report", '{"model": "m"}')
        panel.widget.panel.refresh()
        assert not panel.resultsSection.visible

    def test_a_message_does_not_outlive_its_scene(self, panel, tmp_path):
        panel.widget.panel._model.import_package(tmp_path)
        assert panel.host.wait(lambda: "package" in panel.statusText.text, 60)
        panel.host.close_scene()
        assert panel.statusText.text == ""


class TestDiagnostics:
    def test_versions_and_log_but_no_names_of_volumes(self, panel, patient, tiny_model):
        (volume,) = panel.load(patient["flair"])
        volume.SetName("MUSTERMANN^MAX")
        panel.parameters.flair_volume = volume
        panel.apply()
        text = panel.widget.panel.log.copy_diagnostics()
        assert "PyTorch: " in text and "FLAIR" in text and "Slicer: " in text
        assert "MUSTERMANN" not in text
        names = [path.name for path in panel.logic._scratch.folder.rglob("*")]
        assert names and not any("MUSTERMANN" in name for name in names)


def erase(segmentation, reference):
    """What the eraser of Slicer's Segment Editor does to our enhancing tumour, in one stroke."""
    from MetaKDSegmentationLib.segment_roles import Role

    mask = slicer.util.arrayFromSegmentBinaryLabelmap(
        segmentation, Role.ET.segment_id, reference
    ).copy()
    assert mask.any()
    mask[: mask.shape[0] // 2] = 0
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        mask, segmentation, Role.ET.segment_id, reference
    )


def brought_to(t1c, flair, folder):
    """A FLAIR on the voxels of a T1c (k, j, i), straight from the intensities in its file.

    From the files that the worker is sent, because a last bit in their geometry moves what the
    search finds by 0.4 mm.
    """
    from MetaKDSegmentationLib.volume_files import write_volume

    paths = {Contrast.T1C: folder / "t1c.nrrd", Contrast.FLAIR: folder / "flair.nrrd"}
    for node, path in zip((t1c, flair), paths.values(), strict=True):
        write_volume(node, path)
    heads = [sitk.DICOMOrient(image, "LPS") for image in read_study(paths).images.values()]
    target, source = (sitk.ReadImage(str(path), sitk.sitkFloat64) for path in paths.values())
    return sitk.GetArrayFromImage(sitk.Resample(source, target, register(*heads).transform))


def report_of(panel):
    return json.loads(report_text(panel.parameters.output_segmentation))


def table_of(segmentation):
    from MetaKDSegmentationLib.volumes_table import table_of

    table = table_of(segmentation)
    assert table.GetNumberOfRows() == 5
    return table


def expert_segmentation(path, reference):
    """A label map file as a segmentation, as a user would import it."""
    label_map = slicer.util.loadLabelVolume(str(path))
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Expert")
    node.SetReferenceImageGeometryParameterFromVolumeNode(reference)
    slicer.modules.segmentations.logic().ImportLabelmapToSegmentationNode(label_map, node)
    slicer.mrmlScene.RemoveNode(label_map)
    return node


def report_text(segmentation):
    from MetaKDSegmentationLib.provenance import read_report

    assert segmentation.GetSegmentation().GetNumberOfSegments() == len(LABELS)
    return json.dumps(read_report(segmentation))
