"""Columns of tables that give the class away, sought among the training samples."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.tree import DecisionTreeClassifier

Column = NDArray[np.float64]
Target = NDArray[np.int64] | NDArray[np.bool_]

_LEAK = 0.99
_FOLDS = 5
# With fewer values, one of many columns is likely to tell the classes apart by chance.
_ENOUGH, _ENOUGH_OF_A_CLASS = 20, 5


def warn_of_leak(
    place: str, column: Column, labels: NDArray[np.int64], classes: Sequence[str]
) -> None:
    """Warn, once, of a column that alone tells the class, or one class from the others.

    Args:
        place: where the column stands.
        column: (n,) of the training samples, nan where missing.
        labels: (n,) place of the class in `classes`.
        classes: their names.
    """
    for tells, among in ((_tells, ""), (_tells_where_known, " that have a value")):
        if tells(column, labels):
            _warn(place, "the class", among)
            return
    several = range(len(classes) if len(classes) > 2 else 0)
    for tells, among in ((_tells, ""), (_tells_where_known, " that have a value")):
        told = [classes[label] for label in several if tells(column, labels == label)]
        if told:
            _warn(place, f"class {' and '.join(told)} from the others", among)
            return


def _warn(place: str, what: str, among: str) -> None:
    warnings.warn(
        f"{place}: alone tells {what} in over {_LEAK:.0%} of the training samples{among}; if it "
        "was recorded because of the class, leave it out (drop, or leave_out of a list)",
        stacklevel=3,
    )


def _tells_where_known(column: Column, target: Target) -> bool:
    """As `_tells`, among those who have a value: a copy of the class with gaps is one, too."""
    known = ~np.isnan(column)
    if known.all():
        return False  # the same as of all
    labels = np.unique(target, return_inverse=True)[1]
    of_class = np.bincount(labels[known], minlength=labels.max() + 1)
    asked = known & (of_class >= _ENOUGH_OF_A_CLASS)[labels]
    return bool(asked.sum() >= _ENOUGH) and _tells(column[asked], target[asked])


def _tells(column: Column, target: Target) -> bool:
    """Whether a column alone predicts a target; missing is a value too.

    By a decision tree's predictions of samples that it did not learn from, so that names and
    numbers of samples tell nothing; or by a tree of so few leaves that it cannot learn by heart:
    with few samples each threshold costs the first one its neighbours.
    """
    labels = np.unique(target, return_inverse=True)[1]
    values = np.unique(column, return_inverse=True)[1]  # nan comes last
    rarest = np.bincount(labels).min()
    if rarest < 3 or labels.max() == 0 or np.isnan(column).all():
        return False
    allowed = min((1 - _LEAK) * len(labels), (rarest - 1) / 2)
    counts = np.zeros((values.max() + 1, labels.max() + 1))
    np.add.at(counts, (values, labels), 1)
    if len(labels) - counts.max(axis=1).sum() > allowed:
        return False  # not even by heart, so there is no need for a tree
    table = values[:, None]
    small = DecisionTreeClassifier(max_leaf_nodes=int(labels.max()) + 2, random_state=0)
    if (small.fit(table, labels).predict(table) != labels).sum() <= allowed:
        return True
    if rarest < _FOLDS:
        return False
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=0)
    tree = DecisionTreeClassifier(random_state=0)
    return bool((cross_val_predict(tree, table, labels, cv=folds) != labels).sum() <= allowed)
