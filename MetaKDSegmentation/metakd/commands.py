"""What each command of `metakd` does."""

from __future__ import annotations

import json
import time
from argparse import Namespace
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import SimpleITK as sitk
import torch
from PIL import Image

from metakd import __version__, terminal
from metakd.cases import Case, find_cases
from metakd.contrasts import CONTRASTS, Contrast
from metakd.evaluate import as_csv, as_json, as_table, evaluate
from metakd.files import write_label_map
from metakd.inference import choose_device
from metakd.model import import_package, load_model
from metakd.outputs import OutputFiles, check_places, check_writable
from metakd.packages import ModelError, find_models, read_card, remove_model, user_folder
from metakd.phantom import make_phantom, write_phantom
from metakd.prepared_files import prepared_paths, write_prepared
from metakd.preprocess_command import preprocess
from metakd.preview import LegendEntry, draw_preview
from metakd.regions import LABELS, REGION_OF_LABEL, REGIONS, Region
from metakd.report import Report
from metakd.segment import Options, Segmentation, segment
from metakd.steps import AS_IT_IS
from metakd.study import Study, read_study
from metakd.usage import UsageError, chosen_steps, given_contrasts, ready_device


def version() -> str:
    """One line: metakd, torch and the device that `auto` would take."""
    return f"metakd {__version__}, torch {torch.__version__}, device {choose_device()}"


def _segment(arguments: Namespace) -> None:
    start = time.perf_counter()
    paths = given_contrasts(arguments)
    _check_outputs(arguments, paths)
    ready_device(arguments.device)
    steps = chosen_steps(arguments)
    options = Options(arguments.device, arguments.reference, steps=steps)
    model = load_model(arguments.model)
    study = read_study(paths)
    read_seconds = time.perf_counter() - start
    with terminal.Progress() as progress:
        result = segment(study, model, options, on_progress=progress)
    report = result.report.with_stage("read", read_seconds)
    terminal.warn(report.warnings)
    _write(arguments, result, report, study)
    print(terminal.segmented(report))


def _check_outputs(arguments: Namespace, paths: Mapping[Contrast, Path]) -> None:
    inputs = [*paths.values(), *filter(None, [arguments.brain_mask])]
    files = [f for f in (arguments.output, arguments.report, arguments.preview) if f]
    folder = arguments.probabilities
    likely = [_probability_file(folder, region) for region in REGIONS] if folder else []
    check_places([*files, *likely], inputs, folder)
    check_places([*files, *_prepared(arguments, paths).values()], inputs, arguments.prepared)


def _prepared(arguments: Namespace, given: Collection[Contrast]) -> dict[str, Path]:
    return prepared_paths(arguments.prepared, ".nii.gz", given, arguments.reference)


def _write(arguments: Namespace, result: Segmentation, report: Report, study: Study) -> None:
    with OutputFiles() as files:
        if arguments.probabilities:
            arguments.probabilities.mkdir(exist_ok=True)
            for region, image in result.probabilities.items():
                path = _probability_file(arguments.probabilities, region)
                sitk.WriteImage(image, files.stage(path))
        left = _prepared(arguments, study.images)
        write_prepared(files, left, study, result.prepared)
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
                terminal.reliability(region.reliability, region.expected_dice),
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


def _evaluate(arguments: Namespace) -> None:
    ready_device(arguments.device)
    options = Options(arguments.device, steps=AS_IT_IS)
    model = load_model(arguments.model)
    cases = _chosen_cases(arguments)
    if arguments.output.exists() and not arguments.output.is_dir():
        raise UsageError(f"{arguments.output}: is a file; give a folder for the scores")
    arguments.output.mkdir(parents=True, exist_ok=True)
    for name in ("scores.csv", "summary.json"):
        check_writable(arguments.output / name)
    with terminal.Progress(total=len(cases) * len(arguments.subsets)) as progress:
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


COMMANDS: dict[str, Callable[[Namespace], None]] = {
    "segment": _segment,
    "preprocess": preprocess,
    "evaluate": _evaluate,
    "models list": _list_models,
    "models show": _show_model,
    "models verify": _verify_model,
    "models import": _import_model,
    "models remove": _remove_model,
    "phantom": _phantom,
}
