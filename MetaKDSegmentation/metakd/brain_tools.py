"""Programs of others that find the brain in a head, used through their own commands.

A tool counts as installed when its command and its weights are on this machine: nothing is ever
downloaded, and a tool that would download something by itself is kept from it.

- SynthStrip: ``mri_synthstrip`` of FreeSurfer 7.3 or newer (Hoopes et al. 2022,
  doi 10.1016/j.neuroimage.2022.119474), any contrast.
- HD-BET 2: ``hd-bet`` (Isensee et al. 2019, doi 10.1002/hbm.24750), T1, T1c, T2 and FLAIR.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk

from metakd.files import read_image
from metakd.progress import Cancelled, IsCancelled
from metakd.study import StudyError

_PATIENCE = 1800.0  # seconds; HD-BET says 2 minutes on a CPU
_GRACE = 5.0  # seconds for an unfinished tool to end its own helpers
_TEMPLATE_AXES = "LAS"  # of the MNI152 template, as HD-BET wants its voxels ordered
_INSTEAD = "choose another way to find the brain"
_NOWHERE = "http://127.0.0.1:9"  # nothing answers there
_BEFORE_SLICER = "APPLAUNCHER_0_"  # Slicer's launcher keeps the user's own environment under it


@dataclass(frozen=True)
class Tool:
    """How to find and call one tool.

    Attributes:
        weights: the file or pattern of files that the tool reads, below `home` of its program.
        arguments: of the program, for an image, a file name for the mask, and a device.
        mask: where the mask then is, given the name asked for.
    """

    title: str
    program: str
    home: Callable[[Path], Path]
    weights: str
    install: str
    complete: str
    arguments: Callable[[str, str, str], Sequence[str]]
    mask: Callable[[str], str] = str


def _freesurfer(program: Path) -> Path:
    return Path(os.environ.get("FREESURFER_HOME") or program.resolve().parents[1])


def _synthstrip_arguments(image: str, mask: str, device: str) -> Sequence[str]:
    # It takes the first GPU, whichever a scheduler has given to this process.
    own = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0] == "0"
    gpu = ["-g"] if device in ("cuda", "cuda:0") and own else []
    return ["-i", image, "-m", mask, *gpu]


def _hd_bet_arguments(image: str, mask: str, device: str) -> Sequence[str]:
    flips = ["--disable_tta"] if device == "cpu" else []  # eight passes; too slow there
    return [
        "-i", image, "-o", mask, "-device", device, *flips, "--save_bet_mask", "--no_bet_image"
    ]  # fmt: skip


TOOLS: Mapping[str, Tool] = {
    "synthstrip": Tool(
        title="SynthStrip",
        program="mri_synthstrip",
        home=_freesurfer,
        weights="models/synthstrip.[0-9]*.pt",
        install="install FreeSurfer 7.3 or newer",
        complete="set FREESURFER_HOME to a FreeSurfer that has them",
        arguments=_synthstrip_arguments,
    ),
    "hd-bet": Tool(
        title="HD-BET",
        program="hd-bet",
        home=lambda program: Path.home(),
        weights="hd-bet_params/release_2.0.0/fold_all/checkpoint_final.pth",
        install="install HD-BET 2",
        complete="run hd-bet once by hand, which downloads them",
        arguments=_hd_bet_arguments,
        mask=lambda asked: asked[: -len(".nii.gz")] + "_bet.nii.gz",
    ),
}
"""By the names that options have for them, the preferred one first."""


def installed_tool() -> str | None:
    """The first of ``synthstrip`` and ``hd-bet`` that can be used at once, or `None`."""
    for name in TOOLS:
        with suppress(StudyError):
            find_tool(name)
            return name
    return None


def find_tool(name: str) -> Path:
    """The program of a tool. Raises `StudyError` without it or without its weights."""
    tool = TOOLS[name]
    folders = [os.environ.get("PATH", ""), sysconfig.get_path("scripts")]  # with this Python's own
    if os.environ.get("FREESURFER_HOME"):
        folders.append(str(Path(os.environ["FREESURFER_HOME"]) / "bin"))
    found = shutil.which(tool.program, path=os.pathsep.join(filter(None, folders)))
    if found is None:
        raise StudyError(
            f"{tool.title} is not installed (there is no program {tool.program}); {tool.install}, "
            f"or {_INSTEAD}"
        )
    home = tool.home(Path(found))
    if not any(file.is_file() for file in home.glob(tool.weights)):
        raise StudyError(
            f"{tool.title} is installed without its weights ({home / tool.weights}); "
            f"{tool.complete}, or {_INSTEAD}"
        )
    return Path(found)


def run_tool(
    name: str, image: sitk.Image, device: str, *, is_cancelled: IsCancelled = lambda: False
) -> sitk.Image:
    """The brain mask (uint8, 0 and 1) that a tool finds, on the grid of the image.

    Args:
        name: ``synthstrip`` or ``hd-bet``.
        image: 3D, a head in any intensities. It is handed over in a folder of this run alone that
            is gone afterwards, whatever happens, in files whose names say nothing.
        device: ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        is_cancelled: asked a few times a second while the tool runs.

    Raises `StudyError` when the tool cannot be used, fails or finds nothing, and `Cancelled`.
    """
    tool, program = TOOLS[name], find_tool(name)
    folder = Path(tempfile.mkdtemp(prefix="metakd-"))
    try:
        handed = _hand_over(image, folder / "head.nii.gz")
        asked = str(folder / "brain.nii.gz")
        arguments = tool.arguments(str(folder / "head.nii.gz"), asked, device)
        _run(tool, [str(program), *arguments], _environment(tool, program), folder, is_cancelled)
        return _take_back(tool, Path(tool.mask(asked)), handed, image)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _hand_over(image: sitk.Image, path: Path) -> sitk.Image:
    """Write an image with its voxels in the template's order.

    What else an image may carry, as a patient's name from DICOM, filters leave behind.
    """
    handed: sitk.Image = sitk.Cast(sitk.DICOMOrient(image, _TEMPLATE_AXES), sitk.sitkFloat32)
    try:
        sitk.WriteImage(handed, str(path))
    except RuntimeError as error:
        raise OSError(f"{path.parent}: cannot be written; is the disk full?") from error
    return handed


def _run(
    tool: Tool,
    command: Sequence[str],
    environment: Mapping[str, str],
    folder: Path,
    is_cancelled: IsCancelled,
) -> None:
    """Run to the end. Raises `StudyError` with the tool's last words when it fails."""
    log = folder / "log.txt"
    try:
        with log.open("wb") as words:
            process = subprocess.Popen(  # noqa: S603 - the tool's own program, without a shell
                command, env=environment, cwd=folder, stdin=subprocess.DEVNULL,
                stdout=words, stderr=subprocess.STDOUT,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )  # fmt: skip
    except OSError as error:
        raise StudyError(
            f"{tool.title} cannot be started ({error.strerror}); install it again, or {_INSTEAD}"
        ) from error
    try:
        status = _wait(tool, process, is_cancelled)
    finally:
        _end(process)
    if status:
        raise StudyError(
            f"{tool.title} has failed: {_last_line(log)}; run {tool.program} by hand to see why, "
            f"or {_INSTEAD}"
        )


def _wait(tool: Tool, process: subprocess.Popen[bytes], is_cancelled: IsCancelled) -> int:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        with suppress(subprocess.TimeoutExpired):
            return process.wait(0.2)
        if is_cancelled():
            raise Cancelled
    raise StudyError(
        f"{tool.title} was not done after {_PATIENCE / 60:.0f} minutes; try another device, "
        f"or {_INSTEAD}"
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a tool that is not needed any more: first kindly, as it may have helpers of its own."""
    if process.poll() is None and os.name != "nt":
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)
    if process.poll() is None:
        process.kill()
        process.wait()


def _last_line(log: Path) -> str:
    text = log.read_bytes()[-4096:].decode("utf-8", errors="replace")
    lines = [line.strip() for line in re.split(r"[\r\n]+", text) if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"


def _take_back(tool: Tool, path: Path, handed: sitk.Image, image: sitk.Image) -> sitk.Image:
    """The mask of the image that was handed over, on the grid of the image it was made from."""
    try:
        found = read_image(path)
    except ValueError as error:
        raise StudyError(
            f"{tool.title} has left no mask; install it again, or {_INSTEAD}"
        ) from error
    if found.GetSize() != handed.GetSize():
        raise StudyError(f"{tool.title} has left a mask of another grid; {_INSTEAD}")
    mask = sitk.Cast(found != 0, sitk.sitkUInt8)
    mask.CopyInformation(handed)  # NIfTI has rounded it
    if not sitk.GetArrayViewFromImage(mask).any():
        raise StudyError(f"{tool.title} has found no brain; check the image, or {_INSTEAD}")
    back: sitk.Image = sitk.Resample(mask, image, sitk.Transform(), sitk.sitkNearestNeighbor)
    return back


def _environment(tool: Tool, program: Path) -> dict[str, str]:
    """The variables a tool runs with: the user's own, not Slicer's, and no way to the network."""
    variables = dict(os.environ)
    if Path(sys.prefix) not in program.parents:  # not of this Python, so of another
        before = {
            name[len(_BEFORE_SLICER) :]: value
            for name, value in os.environ.items()
            if name.startswith(_BEFORE_SLICER)
        }
        variables = before or variables
        if variables.pop("PYTHONHOME", None):  # macOS, where Slicer has no launcher
            variables.pop("PYTHONPATH", None)
    if tool.home is _freesurfer:
        variables["FREESURFER_HOME"] = str(_freesurfer(program))
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        variables[name] = variables[name.upper()] = _NOWHERE
    variables["no_proxy"] = variables["NO_PROXY"] = ""
    return variables
