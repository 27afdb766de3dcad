"""`make screenshots`: the pictures of the README, from the module itself in the test host."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import slicer
import slicer_app
from metakd.contrasts import CONTRASTS
from PIL import Image
from slicer_host.host import Host

ROOT = Path(__file__).parents[1]
SCREENSHOTS = ROOT / "Resources" / "Screenshots"
PATIENT = ROOT.parent / "shared/data/brats/BraTS2021/BraTS2021_00002"
RAW_STUDY = ROOT.parent / "shared/data/clinical/TCGA-FG-6692/raw"
VIEWS = ("Red", "3D", "Green", "Yellow")  # Slicer's conventional layout, row by row
GAP, DARK, LIGHT = 6, (40, 40, 40), (239, 239, 239)


def main() -> None:
    host = Host()
    host.start()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["METAKD_MODELS"] = folder
        widget = host.open_module("MetaKDSegmentation")
        tutorial(host, widget, Path(folder))
        if RAW_STUDY.is_dir():
            host.close_scene()
            raw_study(host, widget, Path(folder))
    host.quit()


def tutorial(host: Host, widget: Any, folder: Path) -> None:
    ui = widget.ui
    ui.exampleButton.click()
    host.wait(lambda: widget.logic.getParameterNode().flair_volume is not None, 60)
    host.screenshot(ui.inputsSection, SCREENSHOTS / "panel-example.png")
    host.close_scene()
    parameters = widget.logic.getParameterNode()
    load("t1", "flair")
    ui.autoAssignButton.click()
    host.screenshot(ui.inputsSection, SCREENSHOTS / "panel-inputs.png")
    load("t1ce")
    ui.autoAssignButton.click()
    parameters.t1_volume = None
    ui.applyButton.click()
    host.wait(lambda: widget.logic.segmentation.job.done >= 4, 60)
    running = [host.screenshot(w, folder / "part.png") and Image.open(folder / "part.png").copy()
               for w in (ui.applyButton, ui.progressBar, ui.statusText)]  # fmt: skip
    stacked(running, LIGHT).save(SCREENSHOTS / "panel-running.png")
    host.wait(lambda: not widget.logic.segmentation.job.is_running, 120)
    whole = Image.open(host.screenshot(widget, folder / "panel.png"))
    beside(whole, views(folder, whole.height)).save(SCREENSHOTS / "slicer.png")
    host.screenshot(ui.resultsSection, SCREENSHOTS / "panel-results.png")
    parameters.reference_segmentation = expert(parameters.t1c_volume)
    ui.verifySection.collapsed = False
    ui.compareButton.click()
    host.wait(lambda: "Dice" in ui.scoresText.text, 60)
    host.screenshot(ui.verifySection, SCREENSHOTS / "panel-verify.png")


def raw_study(host: Host, widget: Any, folder: Path) -> None:
    """What will be done to a study as it comes from the scanner, and what was done."""
    for contrast in CONTRASTS:
        slicer.util.loadVolume(str(RAW_STUDY / f"{contrast.value}.nii.gz"))
    widget.ui.autoAssignButton.click()
    before = Image.open(host.screenshot(widget.ui.inputsSection, folder / "before.png"))
    widget.ui.applyButton.click()
    host.wait(lambda: not widget.logic.segmentation.job.is_running, 300)
    after = Image.open(host.screenshot(widget.ui.resultsSection, folder / "after.png"))
    stacked([before, after], LIGHT).save(SCREENSHOTS / "panel-raw.png")


def load(*contrasts: str) -> None:
    for contrast in contrasts:
        slicer.util.loadVolume(str(PATIENT / f"{PATIENT.name}_{contrast}.nii.gz"))


def expert(reference: Any) -> Any:
    """The patient's expert segmentation as a node, as the user would import it."""
    label_map = slicer.util.loadLabelVolume(str(PATIENT / f"{PATIENT.name}_seg.nii.gz"))
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Expert")
    node.SetReferenceImageGeometryParameterFromVolumeNode(reference)
    slicer.modules.segmentations.logic().ImportLabelmapToSegmentationNode(label_map, node)
    slicer.mrmlScene.RemoveNode(label_map)
    node.SetDisplayVisibility(False)
    return node


def views(folder: Path, height: int) -> Image.Image:
    """Slices and 3D view, two by two."""
    side = (height - GAP) // 2
    tiles = []
    for name in VIEWS:
        path = folder / f"{name}.png"
        if name == "3D":
            slicer_app.render_3d(path, (side, side))
        else:
            slicer_app.render_slice(name, path, (side, side))
        tiles.append(Image.open(path).convert("RGB"))
    return stacked([beside(*tiles[:2]), beside(*tiles[2:])])


def beside(left: Image.Image, right: Image.Image) -> Image.Image:
    picture = Image.new(
        "RGB", (left.width + GAP + right.width, max(left.height, right.height)), DARK
    )
    picture.paste(left, (0, 0))
    picture.paste(right, (left.width + GAP, 0))
    return picture


def stacked(pictures: list[Image.Image], background: tuple[int, int, int] = DARK) -> Image.Image:
    height = sum(picture.height for picture in pictures) + GAP * (len(pictures) - 1)
    whole = Image.new("RGB", (max(picture.width for picture in pictures), height), background)
    top = 0
    for picture in pictures:
        whole.paste(picture, (0, top))
        top += picture.height + GAP
    return whole


if __name__ == "__main__":
    main()
