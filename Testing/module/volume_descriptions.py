"""Volumes as the panel knows them, made up."""

from MetaKDSegmentationLib.slots import Geometry, VolumeFacts

BRATS_SIZE = (240, 240, 155)


def geometry(size=BRATS_SIZE, spacing=(1.0, 1.0, 1.0), origin=(0.0, 0.0, 0.0)):
    rows = []
    for axis in range(3):
        row = [0.0, 0.0, 0.0, origin[axis]]
        row[axis] = spacing[axis]
        rows += row
    return Geometry(size, (*rows, 0.0, 0.0, 0.0, 1.0))


def volume(contrast, size=BRATS_SIZE, spacing=(1.0, 1.0, 1.0), origin=(0.0, 0.0, 0.0), **facts):
    return VolumeFacts(
        id=f"node {contrast.value}",
        name=contrast.label,
        size=size,
        spacing=spacing,
        geometry=geometry(size, spacing, origin),
        **{"looks_stripped": True, "fingerprint": contrast.value, **facts},
    )
