"""What the panel holds: saved with the scene and restored from it."""

# Annotations stay objects here: Slicer's wrapper reads them.
from enum import Enum

from slicer import (
    vtkMRMLLabelMapVolumeNode,
    vtkMRMLScalarVolumeNode,
    vtkMRMLSegmentationNode,
    vtkMRMLTableNode,
)
from slicer.parameterNodeWrapper import parameterNodeWrapper


class Device(Enum):
    """Where the worker computes; the values are the worker protocol's."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"

    def label(self) -> str:
        """The text in the panel."""
        return {
            "auto": "Automatic (GPU if usable)",
            "cpu": "CPU",
            "cuda": "NVIDIA GPU (CUDA)",
            "mps": "Apple GPU (MPS)",
        }[self.value]


class Reference(Enum):
    """Whose grid the result lies on; the values are the contrasts'."""

    AUTO = "auto"
    T1C = "t1c"
    FLAIR = "flair"
    T2 = "t2"
    T1 = "t1"

    def label(self) -> str:
        """The text in the panel."""
        return {
            "auto": "Automatic (T1c, FLAIR, T2, T1)",
            "t1c": "T1c",
            "flair": "FLAIR",
            "t2": "T2",
            "t1": "T1",
        }[self.value]


class LabelConvention(Enum):
    """Which numbers the labels have; the values are those of `metakd.regions.CONVENTIONS`."""

    BRATS2023 = "brats2023"
    BRATS2018 = "brats2018"

    def label(self) -> str:
        """The text in the panel."""
        return {
            "brats2023": "BraTS 2023: NCR 1, ED 2, ET 3",
            "brats2018": "BraTS 2018: NCR 1, ED 2, ET 4",
        }[self.value]


@parameterNodeWrapper
class ParameterNode:
    """One field a widget; the `.ui` file names them in `SlicerParameterName`.

    Volumes and other nodes are `None` until chosen.
    """

    t1_volume: vtkMRMLScalarVolumeNode
    t1c_volume: vtkMRMLScalarVolumeNode
    t2_volume: vtkMRMLScalarVolumeNode
    flair_volume: vtkMRMLScalarVolumeNode
    register: bool = True
    extract_brain: bool = True
    brain_mask: vtkMRMLLabelMapVolumeNode
    model: str = ""
    output_segmentation: vtkMRMLSegmentationNode
    keep_prepared: bool = False
    overlapping_regions: bool = False
    keep_probabilities: bool = False
    affine: bool = False
    device: Device = Device.AUTO
    reference: Reference = Reference.AUTO
    label_convention: LabelConvention = LabelConvention.BRATS2023
    volumes_table: vtkMRMLTableNode
    reference_segmentation: vtkMRMLSegmentationNode
    disagreement_volume: vtkMRMLLabelMapVolumeNode
