"""Runs that do not need each other, side by side."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from typing import Any, TypeVar

import torch
from tqdm import tqdm

Result = TypeVar("Result")


def in_parallel(
    function: Callable[..., Result], calls: Sequence[tuple[Any, ...]], jobs: int
) -> list[Result]:
    """What the function returns for each tuple of arguments, in their order.

    Args:
        function: one that a new process can import.
        jobs: processes; each gets its share of the cores, and prints to the same terminal. One
            calls the function here.

    Raises what the first call that fails raised, and `ValueError` for less than one job.
    """
    bar = partial(tqdm, total=len(calls), desc="runs", unit="", disable=None)
    if jobs < 1:
        raise ValueError(f"--jobs {jobs}: at least 1")
    if jobs == 1:
        return [function(*arguments) for arguments in bar(calls)]
    pool = ProcessPoolExecutor(
        jobs,
        mp_context=multiprocessing.get_context("spawn"),  # a fork would inherit torch's threads
        initializer=torch.set_num_threads,
        initargs=(max((os.cpu_count() or 1) // jobs, 1),),
    )
    with pool:
        pending = [pool.submit(function, *arguments) for arguments in calls]
        try:
            for done in bar(as_completed(pending)):
                done.result()
        except BaseException:  # the first that fails ends it all
            pool.shutdown(cancel_futures=True)
            raise
        return [each.result() for each in pending]
