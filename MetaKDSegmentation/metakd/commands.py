"""What each command of `metakd` does."""

from __future__ import annotations

import json
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import SimpleITK as sitk
import torch
from PIL import Image
from tqdm import tqdm

from metakd import __version__
from metakd.cases import Case, find_cases
from metakd.contrasts import CONTRASTS, Contrast
from metakd.evaluate import as_csv, as_json, as_table, evaluate
from metakd.files import write_label_map
from metakd.inference import DeviceError, choose_device, leave_a_core_free
from metakd.memory import hold_freed_memory
from metakd.model import import_package, load_model
from metakd.outputs import OutputFiles, check_places, check_writable
from metakd.packages import ModelError, find_models, read_card, remove_model, user_folder
from metakd.phantom import make_phantom, write_phantom
from metakd.preview import LegendEntry, draw_preview
from metakd.regions import LABELS, REGION_OF_LABEL, REGIONS, Region
from metakd.report import Report
from metakd.segment import Options, Segmentation, segment
from metakd.study import Study, read_study


class UsageError(ValueError):
    """The command cannot be carried out as given; the message says what to change."""


def version() -> str:
    """One line: metakd, torch and the device that `auto` would take."""
    return f"metakd {__version__}, torch {torch.__version__}, device {choose_device()}"


def _segment(arguments: Namespace) -> None:
    start = time.perf_counter()
    paths = {c: path for c in CONTRASTS if (path := getattr(arguments, c.value))}
    _check_outputs(arguments, list(paths.values()))
    options = _options(arguments, arguments.reference)
    model = load_model(arguments.model)
    study = read_study(paths)
    if options.reference and options.reference not in paths:
        raise UsageError(f"--reference {options.reference.value}: that contrast is not given")
    read_seconds = time.perf_counter() - start
    with _Progress() as progress:
        result = segment(study, model, options, on_progress=progress)
    report = result.report.with_stage("read", read_seconds)
    for warning in report.warnings:
        print(f"metakd: warning: {warning}", file=sys.stderr)
    _write(arguments, result, report, study)
    print(_spoken(report))


def _options(arguments: Namespace, reference: Contrast | None = None) -> Options:
    leave_a_core_free()
    hold_freed_memory()
    try:
        choose_device(arguments.device)
    except DeviceError as error:
        raise UsageError(f"{error}; try --device auto") from error
    return Options(device=arguments.device, reference=reference)


def _check_outputs(arguments: Namespace, inputs: list[Path]) -> None:
    files = [f for f in (arguments.output, arguments.report, arguments.preview) if f]
    folder = arguments.probabilities
    if folder:
        files += [_probability_file(folder, region) for region in REGIONS]
    check_places(files, inputs, folder)


def _write(arguments: Namespace, result: Segmentation, report: Report, study: Study) -> None:
    with OutputFiles() as files:
        if arguments.probabilities:
            arguments.probabilities.mkdir(exist_ok=True)
            for region, image in result.probabilities.items():
                path = _probability_file(arguments.probabilities, region)
                sitk.WriteImage(image, files.stage(path))
        if arguments.report:
            text = json.dumps(report.as_json(), indent=2)
            Path(files.stage(arguments.report)).write_text(text + "\n", encoding="utf-8")
        if arguments.preview:
            reference = next(c for c in CONTRASTS if c.label == report.reference)
            picture = preview(study.images[reference], result.label_map, report)
            picture.save(files.stage(arguments.preview))
        write_label_map(result.label_map, files.stage(arguments.output), arguments.labels)


def _probability_file(folder: Path, region: Region) -> Path:
    return folder / f"{region.value.lower()}.nii.gz"


def preview(reference: sitk.Image, label_map: sitk.Image, report: Report) -> Image.Image:
    """The picture of one result, with its volumes and how far to trust them."""
    legend = []
    for label in LABELS:
        region = report.regions[REGION_OF_LABEL[label].value]
        legend.append(
            LegendEntry(
                label,
                f"{label.name}  {report.volumes_ml[label.short]:.1f} ml",
                _reliability(region.reliability, region.expected_dice),
                region.reliability,
            )
        )
    generated = f" · {', '.join(report.generated)} generated" if report.generated else ""
    return draw_preview(
        reference,
        label_map,
        title="Brain tumour segmentation",
        subtitle=f"from {' + '.join(report.available)}{generated} · model {report.model}",
        legend=legend,
    )


def _reliability(word: str, dice: float | None) -> str:
    return f"{word}: expected Dice {dice:.2f}" if dice is not None else f"{word}: not measured"


def _spoken(report: Report) -> str:
    """The result in a few lines for a terminal."""
    lines = [f"From {' + '.join(report.available)} with model {report.model}:"]
    for name, region in report.regions.items():
        trust = _reliability(region.reliability, region.expected_dice)
        lines.append(f"  {name}  {region.name:<18}{region.volume_ml:9.1f} ml   {trust}")
    seconds = sum(report.seconds.values())
    return "\n".join([*lines, f"{seconds:.1f} s on {report.device}. {report.intended_use}"])


def _evaluate(arguments: Namespace) -> None:
    options = _options(arguments)
    model = load_model(arguments.model)
    cases = _chosen_cases(arguments)
    if arguments.output.exists() and not arguments.output.is_dir():
        raise UsageError(f"{arguments.output}: is a file; give a folder for the scores")
    arguments.output.mkdir(parents=True, exist_ok=True)
    for name in ("scores.csv", "summary.json"):
        check_writable(arguments.output / name)
    with _Progress(total=len(cases) * len(arguments.subsets)) as progress:
        scores = evaluate(cases, arguments.subsets, model, options, progress.one_more)
    if not scores:
        raise UsageError("no case has all contrasts of any of the subsets asked for")
    texts = {"scores.csv": as_csv(scores), "summary.json": as_json(scores, model)}
    with OutputFiles() as files:
        for name, text in texts.items():
            Path(files.stage(arguments.output / name)).write_text(text, encoding="utf-8")
    print(as_table(scores))


def _chosen_cases(arguments: Namespace) -> list[Case]:
    cases = [c for cohort in arguments.cases for c in find_cases(cohort, arguments.labels)]
    if not arguments.only:
        return cases
    file, _, key = arguments.only.rpartition(":")
    try:
        names = json.loads(Path(file).read_text(encoding="utf-8"))[key]
    except (KeyError, ValueError) as error:
        raise UsageError(f"--only {arguments.only}: no such list in that file") from error
    missing = sorted(set(names) - {case.name for case in cases})
    if missing and len(missing) < len(names):
        raise UsageError(f"--only {arguments.only}: {', '.join(missing)} not in --cases")
    chosen = [case for case in cases if case.name in names]
    if not chosen:
        raise UsageError(f"--only {arguments.only}: none of these cases is in --cases")
    return chosen


def _list_models(arguments: Namespace) -> None:
    for name, folder in find_models().items():
        try:
            card = read_card(folder)
        except ModelError as error:
            print(f"{name}  damaged: {error}")
            continue
        origin = "imported" if folder.parent == user_folder() else "embedded"
        print(f"{name}  version {card['version']}  ({origin})  {card['task']}")


def _show_model(arguments: Namespace) -> None:
    model = load_model(arguments.model)
    settings = model.settings
    print(f"{model.name}, version {model.card['version']}: {model.card['description']}")
    print(f"Intended use: {model.card['intended_use']}")
    print("Trained on:")
    for source in settings["training_data"]:
        print(f"  {source['name']}: {source['cases']} cases, {source['licence']}")
    weights = ", ".join(f"{name} {w:.2f}" for name, w in settings["importance"].items())
    print(f"Importance of the contrasts (mean 1): {weights}")
    expected = settings["expected_dice"]
    print(f"Expected Dice, measured on {expected['measured_on']}:")
    for subset, row in expected["subsets"].items():
        figures = "  ".join(f"{region} {value:.2f}" for region, value in row.items())
        print(f"  {subset:<18}{figures}")


def _verify_model(arguments: Namespace) -> None:
    model = load_model(arguments.model)
    print(f"{model.name}: sound, weights SHA-256 {model.settings['sha256']}")


def _import_model(arguments: Namespace) -> None:
    print(f"installed in {import_package(Path(arguments.model))}")


def _remove_model(arguments: Namespace) -> None:
    print(f"removed {remove_model(arguments.model)}")


def _phantom(arguments: Namespace) -> None:
    for seed in range(arguments.seed, arguments.seed + arguments.cases):
        folder = arguments.output / f"phantom_{seed}"
        write_phantom(make_phantom(seed), folder)
        print(folder)


class _Progress:
    """A bar on a terminal, plain lines in a pipe."""

    def __init__(self, total: int | None = None) -> None:
        self._bar = tqdm(total=total, unit="step", leave=False, disable=not sys.stderr.isatty())

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Progress inside one segmentation."""
        self._bar.total = total
        self._bar.set_description(stage)
        self._bar.update(done - self._bar.n)
        if self._bar.disable:
            print(f"{stage} {done}/{total}", file=sys.stderr)

    def one_more(self, case: str, subset: str) -> None:
        """Progress over a cohort."""
        self._bar.set_description(f"{case} {subset}")
        self._bar.update()
        if self._bar.disable:
            print(f"{case} {subset}", file=sys.stderr)


COMMANDS: dict[str, Callable[[Namespace], None]] = {
    "segment": _segment,
    "evaluate": _evaluate,
    "models list": _list_models,
    "models show": _show_model,
    "models verify": _verify_model,
    "models import": _import_model,
    "models remove": _remove_model,
    "phantom": _phantom,
}
