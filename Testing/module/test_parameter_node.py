"""The parameter node through the test host's wrapper: defaults, choices, saving and loading."""

import pytest
import slicer
from metakd.contrasts import CONTRASTS, REFERENCE_PREFERENCE
from metakd.regions import CONVENTIONS, to_convention
from metakd.steps import BRAIN_SOURCES, REGISTRATIONS

pytest.importorskip("PySide6", reason="PySide6 is not installed")

from slicer_host.fixtures import host  # noqa: F401 - a fixture


@pytest.fixture
def module(host):  # noqa: F811
    import MetaKDSegmentationLib.parameter_node as module

    return module


@pytest.fixture
def parameters(module):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "Parameters")
    return module.ParameterNode(node)


def test_nothing_is_chosen_at_first(module, parameters):
    for contrast in CONTRASTS:
        assert getattr(parameters, f"{contrast.value}_volume") is None
    assert parameters.model == ""
    assert parameters.output_segmentation is None
    assert parameters.device is module.Device.AUTO
    assert parameters.reference is module.Reference.AUTO
    assert parameters.label_convention is module.LabelConvention.BRATS2023
    assert not parameters.overlapping_regions
    assert not parameters.keep_probabilities
    assert parameters.register and parameters.extract_brain and not parameters.affine
    assert parameters.brain_mask is None and not parameters.keep_prepared


def test_it_is_kept_in_the_scene(module, parameters, tmp_path):
    scene = slicer.mrmlScene
    classes = {
        "flair_volume": "vtkMRMLScalarVolumeNode",
        "output_segmentation": "vtkMRMLSegmentationNode",
        "reference_segmentation": "vtkMRMLSegmentationNode",
        "volumes_table": "vtkMRMLTableNode",
        "disagreement_volume": "vtkMRMLLabelMapVolumeNode",
        "brain_mask": "vtkMRMLLabelMapVolumeNode",
    }
    for field, name in classes.items():
        setattr(parameters, field, scene.AddNewNodeByClass(name, field))
    parameters.model = "mine"
    parameters.device = module.Device.CUDA
    parameters.reference = module.Reference.FLAIR
    parameters.label_convention = module.LabelConvention.BRATS2018
    parameters.overlapping_regions = parameters.keep_probabilities = True
    parameters.register = parameters.extract_brain = False
    parameters.affine = parameters.keep_prepared = True

    scene.SetURL(str(tmp_path / "scene.mrml"))
    scene.Commit()
    scene.Clear(0)
    scene.SetURL(str(tmp_path / "scene.mrml"))
    scene.Connect()

    restored = module.ParameterNode(scene.GetFirstNodeByName("Parameters"))
    for field in classes:
        assert getattr(restored, field).GetName() == field
    assert restored.t1_volume is None
    assert restored.model == "mine"
    assert restored.device is module.Device.CUDA
    assert restored.reference is module.Reference.FLAIR
    assert restored.label_convention is module.LabelConvention.BRATS2018
    assert restored.overlapping_regions
    assert restored.keep_probabilities
    assert not restored.register and not restored.extract_brain
    assert restored.affine and restored.keep_prepared


def test_a_removed_node_is_no_longer_chosen(parameters):
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    parameters.t1c_volume = volume
    assert parameters.t1c_volume is volume
    slicer.mrmlScene.RemoveNode(volume)
    assert parameters.t1c_volume is None


def test_values_are_those_of_the_worker(module):
    assert [device.value for device in module.Device] == ["auto", "cpu", "cuda", "mps"]
    references = [reference.value for reference in module.Reference]
    assert references == ["auto", *(contrast.value for contrast in REFERENCE_PREFERENCE)]
    assert {convention.value for convention in module.LabelConvention} <= set(CONVENTIONS)


@pytest.mark.parametrize("register", [True, False])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("extract_brain", [True, False])
def test_steps_are_those_of_the_worker(parameters, register, affine, extract_brain):
    from MetaKDSegmentationLib.order import order_of

    scene = slicer.mrmlScene
    parameters.t2_volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    mask = parameters.brain_mask = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
    parameters.register, parameters.affine = register, affine
    parameters.extract_brain = extract_brain
    order = order_of(parameters)
    wanted = ("affine" if affine else "rigid") if register else "off"
    assert order.options["registration"] == wanted in REGISTRATIONS
    assert order.options["brain"] == ("auto" if extract_brain else "off")
    assert order.options["brain"] in BRAIN_SOURCES
    assert order.brain_mask == (mask.GetID() if extract_brain else None)
    assert order.inputs == {parameters.t2_volume.GetID()} | ({order.brain_mask} - {None})


def test_every_choice_has_a_text_of_its_own(module):
    for choices in (module.Device, module.Reference, module.LabelConvention):
        assert len({choice.label() for choice in choices}) == len(choices)


def test_the_texts_of_the_conventions_are_true(module):
    import numpy as np

    for convention in module.LabelConvention:
        values = to_convention(np.array([1, 2, 3], np.uint8), convention.value)
        ncr, ed, et = values.tolist()
        assert convention.label().endswith(f"NCR {ncr}, ED {ed}, ET {et}")
