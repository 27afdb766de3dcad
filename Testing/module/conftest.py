"""Fixtures for the tests of `MetaKDSegmentationLib`: a running MRML application and nodes in it."""

import numpy as np
import pytest

LPS_GRID = np.diag([-1.0, -1.0, 1.0, 1.0])  # axes of most files: i to the left, j to the back


@pytest.fixture
def vtk_errors():
    """The errors that VTK and MRML print; the test fails if any are left when it ends."""
    import slicer_app

    slicer_app.start()
    with slicer_app.vtk_errors() as errors:
        yield errors
    assert not errors, "\n".join(errors)


@pytest.fixture
def scene(vtk_errors):
    """The scene of the application, empty; what VTK complains about fails the test."""
    import slicer_app

    slicer_app.clear()
    yield slicer_app.start().scene
    slicer_app.clear()


@pytest.fixture
def add_volume(scene):
    """`add_volume(voxels, ijk_to_ras, name, parent)`: a volume node; `voxels` (k, j, i)."""
    import slicer

    def add(voxels=None, ijk_to_ras=LPS_GRID, name="T1c", parent=None):
        voxels = np.zeros((10, 12, 14), np.float32) if voxels is None else voxels
        node = slicer.util.addVolumeFromArray(voxels, ijkToRAS=np.asarray(ijk_to_ras), name=name)
        if parent is not None:
            node.SetAndObserveTransformNodeID(parent.GetID())
        return node

    return add


@pytest.fixture
def add_label_map(add_volume):
    """`add_label_map(labels, …)`: as `add_volume`, for a label map."""
    import slicer

    def add(labels, ijk_to_ras=LPS_GRID, name="Mask", parent=None):
        node = slicer.util.addVolumeFromArray(
            labels, np.asarray(ijk_to_ras), name, "vtkMRMLLabelMapVolumeNode"
        )
        if parent is not None:
            node.SetAndObserveTransformNodeID(parent.GetID())
        return node

    return add


@pytest.fixture
def add_transform(scene):
    """`add_transform(matrix, parent)`: a linear transform node; `matrix` 4 × 4, RAS."""
    import slicer

    def add(matrix, parent=None):
        node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.asarray(matrix)))
        if parent is not None:
            node.SetAndObserveTransformNodeID(parent.GetID())
        return node

    return add


@pytest.fixture
def add_thin_plate(scene):
    """`add_thin_plate(shift, parent)`: a spline that bends space around (-7, -7, 5) by mm."""
    import vtk

    def add(shift=(2.0, 1.0, 0.0), parent=None):
        # Corners of the test volumes' field of view stay, its middle is moved.
        corners = [(r, a, s) for r in (12, -28) for a in (12, -28) for s in (-12, 22)]
        points, moved = vtk.vtkPoints(), vtk.vtkPoints()
        for point in corners:
            points.InsertNextPoint(point)
            moved.InsertNextPoint(point)
        points.InsertNextPoint(-7, -7, 5)
        moved.InsertNextPoint(*np.add((-7, -7, 5), shift))
        spline = vtk.vtkThinPlateSplineTransform()
        spline.SetSourceLandmarks(points)
        spline.SetTargetLandmarks(moved)
        spline.SetBasisToR()
        node = scene.AddNewNodeByClass("vtkMRMLTransformNode")
        node.SetAndObserveTransformToParent(spline)
        if parent is not None:
            node.SetAndObserveTransformNodeID(parent.GetID())
        return node

    return add


@pytest.fixture
def world_of():
    """`world_of(node, ijk)`: RAS of a voxel in the world, as Slicer itself works it out."""
    import slicer
    import vtk

    def world(node, ijk):
        matrix, to_world = vtk.vtkMatrix4x4(), vtk.vtkGeneralTransform()
        node.GetIJKToRASMatrix(matrix)
        slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(
            node.GetParentTransformNode(), None, to_world
        )
        local = matrix.MultiplyPoint([*ijk, 1.0])[:3]
        return np.array(to_world.TransformPoint(local))

    return world


@pytest.fixture
def ijk_of():
    """`ijk_of(node, ras)`: the voxel, with its fraction, at a position in the world."""
    import slicer
    import vtk

    def ijk(node, position):
        matrix, from_world = vtk.vtkMatrix4x4(), vtk.vtkGeneralTransform()
        node.GetRASToIJKMatrix(matrix)
        slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(
            None, node.GetParentTransformNode(), from_world
        )
        return matrix.MultiplyPoint([*from_world.TransformPoint(position), 1.0])[:3]

    return ijk


@pytest.fixture
def tumour():
    """A label map (k, j, i) of 10 × 12 × 14 voxels: NCR within ET within ED, all three distinct."""
    labels = np.zeros((10, 12, 14), np.uint8)
    labels[2:8, 3:10, 3:12] = 2
    labels[3:7, 5:9, 4:9] = 3
    labels[4:6, 6:8, 5:7] = 1
    return labels


@pytest.fixture
def add_segmentation(scene):
    """`add_segmentation(labels, reference, …)`: what a run leaves in the scene."""
    from MetaKDSegmentationLib.segmentation_output import show_segmentation

    def add(labels, reference, overlapping=False, convention="brats2023", node=None):
        node = node or scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Tumour")
        show_segmentation(labels, reference, node, overlapping=overlapping, convention=convention)
        return node

    return add


@pytest.fixture
def labels_of():
    """`labels_of(node, ids, reference)`: segments as Slicer exports them on a volume's voxels."""
    import slicer

    def labels(node, ids, reference):
        exported = np.zeros(slicer.util.arrayFromVolume(reference).shape, np.uint8)
        for value, id_ in enumerate(ids, start=1):
            mask = slicer.util.arrayFromSegmentBinaryLabelmap(node, id_, reference)
            exported[mask > 0] = value
        return exported

    return labels


@pytest.fixture
def report():
    """A report as the worker sends it: T1c and FLAIR given, nothing measured for ET."""
    regions = {
        "ET": ("Enhancing tumour", 8.0, None, "not reliable"),
        "TC": ("Tumour core", 9.5, 0.71, "use with care"),
        "WT": ("Whole tumour", 39.75, 0.88, "reliable"),
    }
    keys = ("name", "volume_ml", "expected_dice", "reliability")
    return {
        "regions": {name: dict(zip(keys, facts, strict=True)) for name, facts in regions.items()},
        "volumes_ml": {"NCR": 1.5, "ED": 30.25, "ET": 8.0},
        "measured_on": "5 patients",
        "available": ["T1c", "FLAIR"],
        "generated": ["T1", "T2"],
        "reference": "T1c",
        "importance": {"T1": 0.6, "T1c": 1.4, "T2": 0.8, "FLAIR": 1.2},
        "model": "metakd-first",
        "model_version": "0.1.0",
        "weights_sha256": "0f" * 32,
        "metakd": "0.1.0",
        "torch": "2.13.0",
        "device": "cpu",
        "window": None,
        "seconds": {"encode": 2.5},
        "registration": {
            "FLAIR": {
                "outcome": "registered",
                "moved_mm": 3.21,
                "turned_degrees": 1.08,
                "similarity": 0.31,
            }
        },
        "brain": {"source": "builtin", "volume_ml": 1480.1},
        "coverage": {"T1c": 1.0, "FLAIR": 1.0},
        "finding": "tumour found",
        "warnings": ['T1c: "odd" <intensities>; é\nsecond line & more'],
        "intended_use": "Research only: not for clinical decisions.",
    }
