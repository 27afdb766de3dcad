"""The module's own test, as Slicer runs it, with PyTorch and without."""

import unittest

import pytest


def run_self_test(host):
    loaded = unittest.defaultTestLoader.loadTestsFromTestCase(host.file.MetaKDSegmentationTest)
    result = unittest.TestResult()
    loaded.run(result)
    assert result.testsRun >= 4
    assert not result.errors and not result.failures, (result.errors, result.failures)


@pytest.mark.parametrize("version", ["installed", None])
def test_it_passes(panel, monkeypatch, version):
    if version is None:
        monkeypatch.setattr("MetaKDSegmentationLib.self_test.torch_version", lambda: None)
    run_self_test(panel.host)


def test_reload_and_test_runs_the_same(panel, monkeypatch):
    monkeypatch.setattr("MetaKDSegmentationLib.self_test.torch_version", lambda: None)
    panel.host.module.runTest()
    monkeypatch.setattr("MetaKDSegmentationLib.result_nodes.write_report", lambda *_: None)
    with pytest.raises(AssertionError):
        panel.host.module.runTest()


def test_it_fails_when_something_is_broken(panel, monkeypatch):
    monkeypatch.setattr("MetaKDSegmentationLib.result_nodes.write_report", lambda *_: None)
    with pytest.raises(AssertionError):
        run_self_test(panel.host)
