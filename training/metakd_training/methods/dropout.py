"""Modality dropout alone: the baseline that the methods which distil have to beat."""

from __future__ import annotations

from metakd_training.methods.method import Method


class Dropout(Method):
    """Learns the task from random subsets of the modalities; nothing is distilled."""
