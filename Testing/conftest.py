"""Fixtures that several test files share: real data, a tiny model, synthetic scans."""

import shutil
from pathlib import Path

import pytest
import SimpleITK as sitk
import torch
from scans import make_scan

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

TINY_DESCRIPTION = {
    "version": "0.0.1",
    "changelog": {"0.0.1": "random weights"},
    "description": "random weights for tests",
    "authors": "tests",
    "copyright": "Apache-2.0",
    "smallest_ml": {"WT": 0.0, "ET": 0.0},
    "training_data": [{"name": "nothing", "cases": 0, "licence": "none"}],
}


@pytest.fixture(scope="session")
def shared_data():
    """Folder of the real data sets, which are not part of the repository."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the real data sets are not on this machine ({SHARED_DATA})")
    return SHARED_DATA


@pytest.fixture(scope="session")
def tiny_package(tmp_path_factory):
    """Folder of a sound model package with a few random weights."""
    export = pytest.importorskip(
        "metakd_training.export", reason="packages are written by metakd-training"
    )
    from metakd.network import MetaKDNet

    torch.manual_seed(0)
    network = MetaKDNet(channels=[4, 8], decoder_channels=[4, 8]).eval()
    card = export.make_card(network, description=TINY_DESCRIPTION, spacing=2.0, evaluation=None)
    folder = tmp_path_factory.mktemp("package") / "tiny"
    export.write_package(folder, card, network)
    return folder


@pytest.fixture
def package(tiny_package, tmp_path):
    """A copy of the sound package to spoil."""
    return Path(shutil.copytree(tiny_package, tmp_path / "mine"))


@pytest.fixture
def user_models(tmp_path, monkeypatch):
    """The folder of imported models, empty and for this test alone."""
    folder = tmp_path / "user models"
    folder.mkdir()
    monkeypatch.setenv("METAKD_MODELS", str(folder))
    return folder


@pytest.fixture
def refused(user_models):
    """`refused(source, match)`: importing raises `ModelError` and changes nothing on disk."""
    from metakd.model import import_package
    from metakd.packages import ModelError

    def snapshot():
        everything = user_models.parent.rglob("*")
        return {path: path.read_bytes() if path.is_file() else None for path in everything}

    def check(source, match):
        before = snapshot()
        with pytest.raises(ModelError, match=match):
            import_package(source)
        assert snapshot() == before

    return check


@pytest.fixture
def scan():
    """`scan(seed)`: a small float32 scan; another seed is another contrast of the same head."""
    return make_scan


@pytest.fixture
def write_image(tmp_path):
    """`write_image(name, image)`: the path of a file in a folder of this test's own."""

    def write(name, image):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        sitk.WriteImage(image, str(path))
        return path

    return write


@pytest.fixture
def run(capfd):
    """`run(*arguments)`: exit status, stdout, and lines on stderr, C libraries' included."""

    from metakd.cli import main

    def run(*arguments):
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as end:
            status = end.code
        out, err = capfd.readouterr()
        return status, out, err.splitlines()

    return run


@pytest.fixture
def folder(tmp_path):
    """A folder for results, empty."""
    (tmp_path / "results").mkdir()
    return tmp_path / "results"
