"""Every state of the panel, with real nodes and a real worker; a picture of each in `screens/`."""

import json
import time

import pytest
from metakd.contrasts import CONTRASTS
from metakd.regions import LABELS

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

    def test_the_raw_clinical_study_is_warned_about(self, panel, shared_data):
        folder = shared_data / "clinical" / "TCGA-FG-6692" / "raw"
        panel.load(*(folder / f"{contrast.value}.nii.gz" for contrast in CONTRASTS))
        panel.autoAssignButton.click()
        text = panel.findingsText.text
        assert "skull" in text and "grid" in text
        panel.picture("05-clinical-raw")

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

    def test_a_broken_torch_is_found_by_trying_it(self, panel, monkeypatch, tmp_path):
        (tmp_path / "torch").mkdir()
        (tmp_path / "torch" / "__init__.py").write_text("raise ImportError('libc10.so is gone')")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        panel.logic.check_torch()
        assert panel.host.wait(lambda: panel.logic.ready is not None, 60)
        assert "libc10.so is gone" in panel.setupText.text and panel.setupSection.visible
        panel.picture("07-broken-torch")

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
        assert not panel.logic._client.is_running


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
        assert panel.parameters.volumes_table.GetNumberOfRows() >= 3
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
        panel.applyButton.click()
        assert gone(processes, 2.0)

    def test_after_a_cancel_the_next_run_works(self, panel, patient, tiny_model):
        (panel.parameters.flair_volume,) = panel.load(patient["flair"])
        panel.applyButton.click()
        panel.applyButton.click()
        panel.apply()
        assert panel.parameters.output_segmentation is not None

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
        panel.apply()
        shown = panel.resultsText.text
        panel.host.save_scene(tmp_path / "scene.mrb")
        panel.host.load_scene(tmp_path / "scene.mrb")
        assert panel.t1cSelector.currentNode().GetName() == "BraTS2021_00002_t1ce"
        assert panel.t1Selector.currentNode() is None
        assert (panel.deviceSelector.currentIndex, panel.conventionSelector.currentIndex) == (1, 1)
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
        assert not (panel.models / "tiny").exists() and panel.parameters.model == ""

    def test_what_is_no_package_is_refused_in_words(self, panel, tmp_path):
        panel.widget.panel._model.import_package(tmp_path)
        assert panel.host.wait(lambda: panel.statusText.text != "", 60)
        assert "package" in panel.statusText.text

    def test_a_scene_from_elsewhere_falls_back_to_the_default(self, panel):
        panel.parameters.model = "somebody-elses"
        assert panel.parameters.model == "" and panel.modelSelector.currentIndex == 0


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
