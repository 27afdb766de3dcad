"""`slicer.testing`."""

from __future__ import annotations

import sys
import unittest


def exitSuccess() -> None:
    pass


def exitFailure(message: str = "") -> None:
    raise Exception(message)


def runUnitTest(path: str | list[str], testname: str) -> None:
    sys.path.extend([path] if isinstance(path, str) else path)
    suite = unittest.TestLoader().loadTestsFromName(testname)
    if not unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful():
        exitFailure()
