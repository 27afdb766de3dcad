"""What a run leaves in the scene: segments, label values, probabilities, all in place."""

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import vtk
from metakd.regions import REGIONS, Region, from_convention, region_mask

from MetaKDSegmentationLib.segment_roles import Role
from MetaKDSegmentationLib.segmentation_output import show_probabilities, show_segmentation
from MetaKDSegmentationLib.terminology import term
from MetaKDSegmentationLib.volume_files import VolumeError

TISSUES = [role.segment_id for role in (Role.NCR, Role.ED, Role.ET)]
NESTED = [role.segment_id for role in (Role.WT, Role.TC, Role.ET)]
OBLIQUE = np.array([[0, -0.9, 1.2, 5], [-1.8, 0, 0, 9], [0, 1.2, 0.9, -7], [0, 0, 0, 1.0]])
TURNED = np.array([[0.6, 0, 0.8, 3], [0, 1, 0, -4], [-0.8, 0, 0.6, 5], [0, 0, 0, 1]])


@pytest.fixture
def export(scene):
    """`export(node, reference)`: the label map that Slicer's export makes of all segments."""

    def labels(node, reference):
        exported = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
        ids = vtk.vtkStringArray()
        for id_ in node.GetSegmentation().GetSegmentIDs():
            ids.InsertNextValue(id_)
        assert slicer.modules.segmentations.logic().ExportSegmentsToLabelmapNode(
            node, ids, exported, reference, slicer.vtkSegmentation.EXTENT_REFERENCE_GEOMETRY,
            node.GetLabelmapConversionColorTableNode(),
        )  # fmt: skip
        return slicer.util.arrayFromVolume(exported).copy()

    return labels


def ijk_to_ras(node):
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def segment_ids(node):
    return list(node.GetSegmentation().GetSegmentIDs())


@pytest.mark.parametrize("ijk_to_ras", [np.diag([-1.0, -1, 1, 1]), OBLIQUE])
def test_tissues_share_a_layer_and_are_exact(
    add_volume, add_segmentation, labels_of, tumour, ijk_to_ras
):
    reference = add_volume(ijk_to_ras=ijk_to_ras)
    node = add_segmentation(tumour, reference)
    assert segment_ids(node) == TISSUES
    assert node.GetSegmentation().GetNumberOfLayers() == 1
    np.testing.assert_array_equal(labels_of(node, TISSUES, reference), tumour)


def test_overlapping_regions_have_a_layer_each(add_volume, add_segmentation, labels_of, tumour):
    reference = add_volume()
    node = add_segmentation(tumour, reference, overlapping=True)
    assert segment_ids(node) == NESTED
    assert node.GetSegmentation().GetNumberOfLayers() == 3
    for region in REGIONS:
        mask = labels_of(node, [Role(region.value).segment_id], reference) > 0
        np.testing.assert_array_equal(mask, region_mask(tumour, region))


@pytest.mark.parametrize("convention", ["brats2018", "brats2023"])
def test_exported_label_maps_have_the_values_of_the_convention(
    add_volume, add_segmentation, export, tumour, convention
):
    reference = add_volume()
    node = add_segmentation(tumour, reference, convention="brats2023")
    node = add_segmentation(tumour, reference, convention=convention, node=node)
    np.testing.assert_array_equal(from_convention(export(node, reference), convention), tumour)
    tables = [n.GetName() for n in slicer.util.getNodesByClass("vtkMRMLColorTableNode")]
    assert tables.count("Tumour label values") == 1


def test_files_have_the_values_of_the_convention(add_volume, add_segmentation, tumour, tmp_path):
    node = add_segmentation(tumour, add_volume(), convention="brats2018")
    node.AddDefaultStorageNode()
    node.GetStorageNode().SetFileName(str(tmp_path / "tumour.seg.nrrd"))
    assert node.GetStorageNode().WriteData(node)
    saved = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "tumour.seg.nrrd")))
    np.testing.assert_array_equal(from_convention(saved, "brats2018"), tumour)


@pytest.mark.parametrize("overlapping", [False, True])
@pytest.mark.parametrize("missing", [(1,), (3,), (1, 3), (1, 2, 3)])
def test_absent_tissue_is_an_empty_segment(
    add_volume, add_segmentation, labels_of, tumour, missing, overlapping
):
    tumour[np.isin(tumour, missing)] = 0
    reference = add_volume()
    node = add_segmentation(tumour, reference, overlapping=overlapping)
    ids = NESTED if overlapping else TISSUES
    assert segment_ids(node) == ids
    for id_ in ids:
        role = next(role for role in Role if role.segment_id == id_)
        expected = (
            region_mask(tumour, Region(role.value))
            if overlapping
            else (tumour == TISSUES.index(id_) + 1)
        )
        np.testing.assert_array_equal(labels_of(node, [id_], reference) > 0, expected)


def test_a_run_replaces_its_own_segments_alone(add_volume, add_segmentation, labels_of, tumour):
    reference = add_volume()
    node = add_segmentation(tumour, reference)
    drawn = np.zeros_like(tumour)
    drawn[0:3, 0:4, 0:4] = 1  # overlaps the oedema
    node.GetSegmentation().AddEmptySegment("mine", "my own")
    slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, node, "mine", reference)
    moved = np.roll(tumour, 1, axis=2)
    for overlapping, ids in ((True, NESTED), (False, TISSUES)):
        add_segmentation(moved, reference, overlapping=overlapping, node=node)
        assert segment_ids(node) == ["mine", *ids]
        np.testing.assert_array_equal(labels_of(node, ["mine"], reference), drawn)
    np.testing.assert_array_equal(labels_of(node, TISSUES, reference), moved)


def test_a_segment_drawn_into_our_layer_stays(add_volume, add_segmentation, labels_of, tumour):
    reference = add_volume()
    node = add_segmentation(tumour, reference)
    segmentation = node.GetSegmentation()
    drawn = np.zeros_like(tumour)
    drawn[0:2, 0:3, 0:3] = 1  # beside the tumour: Slicer may keep it in the tumour's layer
    segmentation.AddEmptySegment("mine", "my own")
    slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, node, "mine", reference)
    segmentation.CollapseBinaryLabelmaps(False)
    assert segmentation.GetNumberOfLayers() == 1
    add_segmentation(tumour, reference, node=node)
    np.testing.assert_array_equal(labels_of(node, ["mine"], reference), drawn)
    np.testing.assert_array_equal(labels_of(node, TISSUES, reference), tumour)


def test_it_moves_with_its_reference(
    add_volume, add_segmentation, add_transform, add_thin_plate, world_of, tumour
):
    for parent in (add_transform(TURNED), add_thin_plate(parent=add_transform(TURNED))):
        reference = add_volume(ijk_to_ras=OBLIQUE, parent=parent)
        labels = np.zeros_like(tumour)
        labels[4, 5, 6] = 3
        node = add_segmentation(labels, reference)
        assert node.GetParentTransformNode() is parent
        centre = node.GetSegmentCenterRAS(Role.ET.segment_id)
        np.testing.assert_allclose(centre, world_of(reference, (6, 5, 4)), atol=1e-3)


@pytest.mark.parametrize("bent", [False, True])
def test_in_a_node_under_another_transform_others_stay_and_ours_are_in_place(
    scene, add_volume, add_segmentation, add_transform, add_thin_plate, world_of, tumour, bent
):
    other = add_volume(parent=add_transform(TURNED), name="other")
    drawn = np.zeros_like(tumour)
    drawn[2, 3, 4] = 1
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    node.SetAndObserveTransformNodeID(other.GetTransformNodeID())
    node.GetSegmentation().AddEmptySegment("mine", "my own")
    slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, node, "mine", other)
    before = node.GetSegmentCenterRAS("mine")

    parent = add_thin_plate() if bent else add_transform(np.diag([1, -1.0, 1, 1]))
    reference = add_volume(parent=parent)
    labels = np.zeros_like(tumour)
    labels[3:6, 4:7, 5:8] = 3
    add_segmentation(labels, reference, node=node)
    np.testing.assert_allclose(node.GetSegmentCenterRAS("mine"), before, atol=1e-9)
    centre = node.GetSegmentCenterRAS(Role.ET.segment_id)
    tolerance = 0.5 if bent else 1e-3
    np.testing.assert_allclose(centre, world_of(reference, (6, 5, 4)), atol=tolerance)


def test_a_node_of_surfaces_is_refused(scene, add_volume, tumour):
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "contours")
    sphere = vtk.vtkSphereSource()
    sphere.Update()
    node.AddSegmentFromClosedSurfaceRepresentation(sphere.GetOutput(), "sphere")
    node.GetSegmentation().SetSourceRepresentationName("Closed surface")
    with pytest.raises(VolumeError, match="contours holds surfaces"):
        show_segmentation(tumour, add_volume(), node, overlapping=False, convention="brats2023")


def test_a_transform_that_cannot_be_honoured_changes_nothing(
    add_volume, add_segmentation, add_transform, labels_of, tumour
):
    reference = add_volume()
    node = add_segmentation(tumour, reference)
    node.GetSegmentation().AddEmptySegment("mine", "my own")
    moved = add_volume(parent=add_transform(np.diag([1.0, 0, 1, 1])))
    with pytest.raises(VolumeError, match="Tumour: a parent transform flattens space"):
        add_segmentation(np.zeros_like(tumour), moved, node=node)
    np.testing.assert_array_equal(labels_of(node, TISSUES, reference), tumour)


def test_ready_for_dicom_export(scene, add_volume, add_segmentation, tumour):
    reference = add_volume(ijk_to_ras=OBLIQUE)
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "patient")
    study = hierarchy.CreateStudyItem(patient, "study")
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(reference), study)
    node = add_segmentation(tumour, reference)
    assert node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole()) is reference
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == study
    geometry = node.GetSegmentation().GetConversionParameter(
        slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
    )
    matrix, extent = vtk.vtkMatrix4x4(), [0] * 6
    assert slicer.vtkSegmentationConverter.DeserializeImageGeometry(geometry, matrix, extent)
    assert extent == [0, 13, 0, 11, 0, 9]
    np.testing.assert_allclose(slicer.util.arrayFromVTKMatrix(matrix), OBLIQUE)
    segment = node.GetSegmentation().GetSegment(Role.ED.segment_id)
    assert segment.GetTerminology() == term(Role.ED).entry


def test_what_is_outside_lets_what_is_inside_be_seen(add_volume, add_segmentation, tumour):
    display = add_segmentation(tumour, add_volume()).GetDisplayNode()
    opacities = [display.GetSegmentOpacity3D(id_) for id_ in TISSUES]
    assert opacities[0] == opacities[2] == 1
    assert opacities[1] < 0.5
    display = add_segmentation(tumour, add_volume(), overlapping=True).GetDisplayNode()
    whole, core, enhancing = (display.GetSegmentOpacity3D(id_) for id_ in NESTED)
    assert whole < core < enhancing


def test_surfaces_are_shown(add_volume, add_segmentation, tumour):
    node = add_segmentation(tumour, add_volume())
    surface = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
    assert node.GetDisplayNode().GetDisplayRepresentationName3D() == surface
    for id_ in TISSUES:
        assert node.GetClosedSurfaceInternalRepresentation(id_).GetNumberOfPoints() > 0


def probabilities(shape, value):
    return {region.value: np.full(shape, value, np.float32) for region in REGIONS}


def test_probabilities_are_volumes_in_place(add_volume, add_segmentation, add_transform, tumour):
    reference = add_volume(ijk_to_ras=OBLIQUE, parent=add_transform(TURNED))
    node = add_segmentation(tumour, reference)
    shown = show_probabilities(probabilities(tumour.shape, 0.25), reference, node)
    assert list(shown) == ["ET", "TC", "WT"]
    for volume in shown.values():
        assert slicer.util.arrayFromVolume(volume).mean() == pytest.approx(0.25)
        assert volume.GetParentTransformNode() is reference.GetParentTransformNode()
        np.testing.assert_allclose(ijk_to_ras(volume), OBLIQUE)
        display = volume.GetDisplayNode()
        assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == (0, 1)


def test_probabilities_do_not_pile_up(add_volume, add_segmentation, tumour):
    reference = add_volume()
    node = add_segmentation(tumour, reference)
    first = show_probabilities(probabilities(tumour.shape, 0.2), reference, node)
    second = show_probabilities(probabilities(tumour.shape, 0.7), reference, node)
    assert [v.GetID() for v in first.values()] == [v.GetID() for v in second.values()]
    assert slicer.util.arrayFromVolume(second["WT"]).mean() == pytest.approx(0.7)
    show_probabilities({}, reference, node)
    assert len(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")) == 1
