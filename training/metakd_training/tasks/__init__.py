"""The tasks, chosen by configuration; each is a file of losses and one of samples."""

from __future__ import annotations

from metakd_training.config import Config
from metakd_training.config.brain import BrainConfig
from metakd_training.config.segmentation import SegmentationConfig
from metakd_training.tasks.workload import Workload


def make_workload(config: Config) -> Workload:
    """The workload of a run. Raises `ValueError` naming what is wrong with its samples."""
    # Each task's imports are its own: a run that segments needs no library of tables.
    if isinstance(config, SegmentationConfig):
        from metakd_training.tasks.segmentation_workload import SegmentationWorkload

        return SegmentationWorkload(config)
    if isinstance(config, BrainConfig):
        from metakd_training.tasks.brain_workload import BrainWorkload

        return BrainWorkload(config)
    from metakd_training.tasks.classification_workload import ClassificationWorkload

    return ClassificationWorkload(config)
