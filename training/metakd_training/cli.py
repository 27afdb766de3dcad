"""The command line `metakd-train`."""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from pathlib import Path

from metakd.cases import find_cases

from metakd_training import runs
from metakd_training.compare import compare
from metakd_training.config import read_config
from metakd_training.config.brain import BrainConfig
from metakd_training.config.segmentation import SegmentationConfig
from metakd_training.config.tables import CohortData
from metakd_training.data.splits import make_split
from metakd_training.evaluate import evaluate_run
from metakd_training.export import (
    UNRELEASED,
    check_evaluation,
    make_card,
    read_description,
    write_package,
)
from metakd_training.export_brain import export_brain
from metakd_training.fit import fit
from metakd_training.launch import Launch


def main() -> None:
    """Run the command line; bad input ends it with one line that says what to do."""
    arguments = _parse()
    warnings.simplefilter("ignore")  # what libraries tell their developers
    warnings.filterwarnings("always", module="metakd")
    warnings.showwarning = _warn
    try:
        arguments.run(arguments)
    except (ValueError, OSError) as error:
        first = os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0")) == "0"
        _parser().exit(2, f"metakd-train: {error}\n" if first else "")
    except KeyboardInterrupt:
        _parser().exit(130, "metakd-train: stopped; a run goes on from its last checkpoint "
                       "with --resume\n")  # fmt: skip


def _parse() -> argparse.Namespace:
    """Settings to change may stand anywhere behind the configuration, options between them."""
    arguments, rest = _parser().parse_known_args()
    takes_changes = "changes" in arguments or "configs" in arguments
    if rest and not (takes_changes and all("=" in r and r[0] != "-" for r in rest)):
        _parser().error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        (arguments.changes if "changes" in arguments else arguments.configs).extend(rest)
    return arguments


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="metakd-train", description="Train MetaKD models.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    fit = commands.add_parser("fit", help="train a network, or go on with a run that was stopped")
    fit.add_argument("config", type=Path, help="YAML file; see training/configs")
    fit.add_argument("changes", nargs="*", metavar="key=value", help="settings to change")
    fit.add_argument("--output", type=Path, help="the run's folder (runs/CONFIG)")
    fit.add_argument("--resume", action="store_true", help="go on from the folder's checkpoint")
    _add_launch(fit)
    fit.set_defaults(run=_fit)

    evaluate = commands.add_parser("evaluate", help="score a run from every subset")
    evaluate.add_argument("run_folder", type=Path, metavar="RUN", help="the run's folder")
    evaluate.add_argument("--list", default="val", help="list of the run's split (val)")
    evaluate.add_argument("--card", type=Path, help="YAML with the post-processing; none without")
    evaluate.add_argument("--device", default="auto")
    evaluate.add_argument("--output", type=Path, required=True, help="folder for the scores")
    _add_checkpoint(evaluate)
    evaluate.set_defaults(run=_evaluate)

    compare = commands.add_parser("compare", help="methods side by side, on equal terms")
    compare.add_argument("configs", nargs="+", metavar="CONFIG", help="YAML files, the baseline "
                         "first; key=value changes all of them")  # fmt: skip
    compare.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    compare.add_argument("--list", default="val", help="list of the split to score (val)")
    compare.add_argument("--name", default="comparison", help="of the tables and the figure")
    compare.add_argument("--output", type=Path, required=True, help="folder for runs and tables")
    compare.add_argument("--jobs", type=int, default=1, help="runs made at once (1)")
    _add_accelerator(compare)
    _add_checkpoint(compare)
    compare.set_defaults(run=_compare)

    export = commands.add_parser("export", help="make a model package of a run")
    export.add_argument("run_folder", type=Path, metavar="RUN", help="the run's folder")
    export.add_argument("--card", type=Path, required=True, help="YAML: name, data, licences")
    export.add_argument("--evaluation", type=Path, help="summary.json of `evaluate`")
    export.add_argument("--output", type=Path, required=True, help="the package's folder")
    _add_checkpoint(export)
    export.set_defaults(run=_export)

    split = commands.add_parser("split", help="draw a fixed split, by patient")
    split.add_argument("cohorts", type=Path, nargs="+", metavar="COHORT",
                       help="folders or lists; the YAML of a cohort in tables")  # fmt: skip
    split.add_argument(
        "--shares",
        nargs="+",
        required=True,
        metavar="LIST=SHARE",
        help="fractions, or counts of patients: train=0.7 val=0.1 test=0.2",
    )
    split.add_argument("--seed", type=int, default=1)
    split.add_argument("--output", type=Path, required=True, help="the JSON file")
    split.set_defaults(run=_split)

    cohort = commands.add_parser("cohort", help="write a generated cohort in ADNI's layout")
    cohort.add_argument("--patients", type=int, default=600)
    cohort.add_argument("--seed", type=int, default=1)
    cohort.add_argument("--output", type=Path, required=True, help="a new folder")
    cohort.set_defaults(run=_cohort)
    return parser


def _add_checkpoint(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--checkpoint", choices=("last", "best"), default="last",
                        help="best: on the held-out patients")  # fmt: skip


def _add_accelerator(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--accelerator", choices=("auto", "cpu", "cuda", "mps"), default="auto")


def _add_launch(parser: argparse.ArgumentParser) -> None:
    _add_accelerator(parser)
    parser.add_argument("--devices", type=int, help="processes on each machine; all GPUs, else 1")
    parser.add_argument("--nodes", type=int, default=1, help="machines")


def _launch(arguments: argparse.Namespace) -> Launch:
    return Launch(arguments.accelerator, arguments.devices, arguments.nodes)


def _fit(arguments: argparse.Namespace) -> None:
    config = read_config(arguments.config, arguments.changes)
    output = arguments.output or Path("runs") / arguments.config.stem
    fit(config, output, _launch(arguments), resume=arguments.resume)


def _evaluate(arguments: argparse.Namespace) -> None:
    _note_unfinished(arguments)
    run, config = arguments.run_folder, runs.stored_config(arguments.run_folder)
    how = {
        "key": arguments.list,
        "checkpoint": _CHECKPOINTS[arguments.checkpoint],
        "device": arguments.device,
    }
    if isinstance(config, SegmentationConfig):
        description = read_description(arguments.card) if arguments.card else UNRELEASED
        print(evaluate_run(run, config, arguments.output, description=description, **how))
        return
    if arguments.card:
        raise ValueError("--card: says how segmentations are cleaned; this run segments no tumour")
    if isinstance(config, BrainConfig):
        from metakd_training.evaluate_brain import evaluate_brain

        print(evaluate_brain(run, config, arguments.output, **how))
        return
    from metakd_training.evaluate_classifier import evaluate_classifier

    print(evaluate_classifier(run, config, arguments.output, **how))


def _compare(arguments: argparse.Namespace) -> None:
    changes = [text for text in arguments.configs if "=" in text]
    paths = [Path(text) for text in arguments.configs if "=" not in text]
    table = compare(
        paths,
        arguments.seeds,
        arguments.output,
        key=arguments.list,
        name=arguments.name,
        changes=changes,
        accelerator=arguments.accelerator,
        checkpoint=_CHECKPOINTS[arguments.checkpoint],
        jobs=arguments.jobs,
    )
    print(table)


def _export(arguments: argparse.Namespace) -> None:
    _note_unfinished(arguments)
    run, config = arguments.run_folder, runs.stored_config(arguments.run_folder)
    checkpoint, evaluation = _CHECKPOINTS[arguments.checkpoint], None
    if arguments.evaluation:
        evaluation = json.loads(arguments.evaluation.read_text(encoding="utf-8"))
    if isinstance(config, BrainConfig):
        if not evaluation:
            raise ValueError("--evaluation is needed: it has the threshold of the brain")
        export_brain(run, config, checkpoint, arguments.card, evaluation, arguments.output)
    else:
        network = runs.segmentation_network(run, checkpoint)
        if evaluation:
            check_evaluation(evaluation, network, runs.patients(run, "val"))
        card = make_card(
            network,
            description=read_description(arguments.card),
            spacing=runs.stored_config(run).data.spacing,
            evaluation=evaluation,
        )
        write_package(arguments.output, card, network)
    print(arguments.output)


def _note_unfinished(arguments: argparse.Namespace) -> None:
    runs.stored_config(arguments.run_folder)  # is it a run at all?
    words = runs.unfinished(arguments.run_folder)
    if words:
        print(f"metakd-train: warning: {arguments.run_folder} {words}", file=sys.stderr)


def _split(arguments: argparse.Namespace) -> None:
    if arguments.output.exists():
        raise ValueError(f"{arguments.output}: exists; a split is drawn once, choose another name")
    shares = {}
    for share in arguments.shares:
        key, _, amount = share.partition("=")
        if key in shares or not amount.replace(".", "", 1).isdigit():
            raise ValueError(f"--shares {share}: give each list once, as train=0.7 or train=280")
        shares[key] = int(amount) if amount.isdigit() else float(amount)
    names = [name for path in arguments.cohorts for name in _names(path)]
    lists = make_split(names, shares, arguments.seed)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(lists, indent=1) + "\n", encoding="utf-8")
    print(f"{arguments.output}: " + ", ".join(f"{k} {len(v)}" for k, v in lists.items()))


def _names(cohort: Path) -> list[str]:
    """Who is in a folder or list of patients, or in the cohort of a configuration."""
    if cohort.suffix not in (".yaml", ".yml"):
        return [case.name for case in find_cases(cohort)]
    data = getattr(read_config(cohort), "data", None)
    if not isinstance(data, CohortData):
        raise ValueError(f"{cohort}: has no cohort in tables to split")
    from metakd_training.data.cohort import read_classes

    return list(read_classes(data.subjects, Path(data.folder)))


def _cohort(arguments: argparse.Namespace) -> None:
    from metakd_training.data.adni_phantom import CohortSettings, write_cohort

    if arguments.output.exists() and any(arguments.output.iterdir()):
        raise ValueError(f"{arguments.output}: is not empty; choose a new folder")
    write_cohort(arguments.output, arguments.patients, arguments.seed, CohortSettings())
    print(arguments.output)


def _warn(message: Warning | str, *_: object) -> None:
    """One line, without the place in the code that `warnings` would add."""
    print(f"metakd-train: warning: {message}", file=sys.stderr)


_CHECKPOINTS = {"last": runs.LAST, "best": runs.BEST}

if __name__ == "__main__":
    main()
