"""What a run leaves for other programs beside its result: registered contrasts and the brain."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import SimpleITK as sitk

from metakd.contrasts import CONTRASTS, REFERENCE_PREFERENCE, Contrast
from metakd.outputs import OutputFiles
from metakd.prepared_images import brain_mask, reference_target, registered
from metakd.preprocess import PreparedStudy
from metakd.study import Study

BRAIN = "brain"


def prepared_paths(
    folder: Path | None, ending: str, given: Collection[Contrast], reference: Contrast | None
) -> dict[str, Path]:
    """The files by name: every contrast given but the reference, which the user has, and the brain.

    Args:
        folder: `None` where nothing is to be left.
        reference: as chosen; `None` for the preferred one of those given.
    """
    if folder is None:
        return {}
    on = reference or next((c for c in REFERENCE_PREFERENCE if c in given), None)
    names = [c.value for c in CONTRASTS if c in given and c is not on]
    return {name: folder / f"{name}{ending}" for name in (*names, BRAIN)}


def write_prepared(
    files: OutputFiles, paths: Mapping[str, Path], study: Study, prepared: PreparedStudy
) -> None:
    """Write these files, each on the reference's own grid; the folder is made."""
    target = reference_target(prepared)
    for name, path in paths.items():
        path.parent.mkdir(exist_ok=True)
        image = (
            brain_mask(prepared, target)
            if name == BRAIN
            else registered(study, prepared, Contrast(name), target)
        )
        written = files.stage(path)  # NRRD, which Slicer gets from the worker, uncompressed
        sitk.WriteImage(image, written, useCompression=not written.endswith(".nrrd"))
