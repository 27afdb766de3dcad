"""Part of `make bench`: from Apply in the panel to the tumour on screen, cold and warm."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import slicer
from slicer_host.host import Host

PATIENT = Path(__file__).parents[2] / "shared/data/brats/BraTS2021/BraTS2021_00002"
COLUMNS = ("in all", "engine", "torch", "the rest")


def main() -> None:
    host = Host()
    host.start()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["METAKD_MODELS"] = folder
        bench(host)
    host.quit()


def bench(host: Host) -> None:
    for path in sorted(PATIENT.glob("*[!g].nii.gz")):  # all but the segmentation
        slicer.util.loadVolume(str(path))
    widget = host.open_module("MetaKDSegmentation")
    widget.ui.autoAssignButton.click()
    print(
        f"\nPanel, {PATIENT.name}, {os.cpu_count()} cores: seconds from Apply to the result shown"
    )
    print(f"{'run':<34}" + "".join(f"{name:>10}" for name in COLUMNS))
    full = row(host, widget, "four contrasts, cold")
    parameters = widget.logic.getParameterNode()
    for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"):
        slicer.util.arrayFromVolumeModified(node)  # as if another study had been loaded
    warm = row(host, widget, "four contrasts, warm, all new")
    row(host, widget, "four contrasts again")
    parameters.t2_volume, dropped = None, parameters.t2_volume
    less = row(host, widget, "T2 dropped")
    parameters.t2_volume = dropped
    row(host, widget, "T2 back")
    print(f"T2 dropped: {less / warm:.0%} of the warm full run, {less / full:.0%} of the cold one")


def row(host: Host, widget: Any, name: str) -> float:
    """One run; prints its times and returns all of it."""
    from MetaKDSegmentationLib.provenance import read_report  # needs the host's slicer

    logic = widget.logic.segmentation
    heard = listen(logic)
    start = time.perf_counter()
    widget.ui.applyButton.click()
    if not host.wait(lambda: not logic.job.is_running, 300):
        raise SystemExit("the run does not end")
    seconds = time.perf_counter() - start
    report = read_report(widget.logic.getParameterNode().output_segmentation)
    if report is None:
        raise SystemExit(f"no result: {widget.ui.statusText.text}")
    engine = sum(report["seconds"].values())
    torch = heard["Ready"] - heard["Starting"] if "Ready" in heard else 0.0
    figures = (seconds, engine, torch, seconds - engine - torch)
    print(f"{name:<34}" + "".join(f"{figure:10.2f}" for figure in figures))
    return seconds


def listen(logic: Any) -> dict[str, float]:
    """When each kind of event last came from the worker, filled as they come."""
    heard: dict[str, float] = {}
    client = logic._client
    receive = type(client)._receive

    def timed(event: Any) -> None:
        heard[type(event).__name__] = time.perf_counter()
        receive(client, event)

    client._receive = timed
    return heard


if __name__ == "__main__":
    main()
