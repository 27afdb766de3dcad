"""Which nodes of the scene a selector offers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import slicer


@dataclass
class NodeFilter:
    """Class names, hidden nodes, attributes: as `qMRMLSortFilterProxyModel` tells them apart."""

    types: list[str] = field(default_factory=list)
    hidden_types: list[str] = field(default_factory=list)
    with_children: bool = True
    with_hidden: bool = False
    attributes: dict[str, dict[str, Any]] = field(default_factory=dict)

    def is_of_type(self, node: slicer.vtkMRMLNode) -> bool:
        name = node.GetClassName()
        return name not in self.hidden_types and any(
            node.IsA(wanted) if self.with_children else name == wanted for wanted in self.types
        )

    def accepts(self, node: slicer.vtkMRMLNode) -> bool:
        if not self.is_of_type(node) or (node.GetHideFromEditors() and not self.with_hidden):
            return False
        return all(
            node.GetAttribute(name) is not None
            and (value is None or node.GetAttribute(name) == str(value))
            for wanted, attributes in self.attributes.items()
            if node.IsA(wanted)
            for name, value in attributes.items()
        )
