"""`slicer.parameterNodeWrapper`: typed parameters in a node of the scene, and widgets tied to them.

The part of Slicer's that modules use, written anew: node references, numbers, texts, enumerations,
paths; validators; `connectGui` for widgets that carry the dynamic property `SlicerParameterName`.
"""

from typing import Any

from slicer_host.record import record

from .connectors import createGuiConnector
from .values import Choice, Default, Maximum, Minimum, NotNone, Validator, WithinRange
from .wrapper import isParameterNodeWrapper, parameterNodeWrapper

SlicerParameterNamePropertyName = "SlicerParameterName"

__all__ = [
    "Choice",
    "Default",
    "Maximum",
    "Minimum",
    "NotNone",
    "SlicerParameterNamePropertyName",
    "Validator",
    "WithinRange",
    "createGuiConnector",
    "isParameterNodeWrapper",
    "parameterNodeWrapper",
]


def __getattr__(name: str) -> Any:
    if name in record()["parameterNodeWrapper"]:
        raise NotImplementedError(
            f"Slicer's parameterNodeWrapper has {name}, the test host has not"
        )
    raise AttributeError(f"module 'slicer.parameterNodeWrapper' has no attribute '{name}'")
