"""The methods, chosen by configuration; one file each."""

from __future__ import annotations

from torch import nn

from metakd_training.config.sections import DropoutSettings, LCKDSettings, MetaKDSettings
from metakd_training.methods.dropout import Dropout
from metakd_training.methods.lckd import LCKD
from metakd_training.methods.metakd import LogitTeacher, MetaKD
from metakd_training.methods.method import Method, Task


def make_method(
    settings: MetaKDSettings | LCKDSettings | DropoutSettings,
    network: nn.Module,
    task: Task,
    *,
    full_pass: bool,
    modalities: int,
    outputs: int,
    teacher: LogitTeacher | None = None,
) -> Method:
    """The method that the settings name.

    Args:
        modalities: N, how many the network has.
        outputs: R, how many the task scores.
        teacher: for `MetaKDSettings.logit_teacher`.
    """
    sizes = {"full_pass": full_pass, "modalities": modalities, "outputs": outputs}
    if isinstance(settings, MetaKDSettings):
        return MetaKD(network, task, settings, teacher=teacher, **sizes)
    if isinstance(settings, LCKDSettings):
        return LCKD(network, task, settings, **sizes)
    return Dropout(network, task, full_pass=full_pass)
