"""`metakd-train fit` and `metakd-train export`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import yaml

from metakd_training.config import read_config
from metakd_training.export import averaged_network, check_evaluation, make_card, write_package
from metakd_training.fit import CHECKPOINT, Run


def main() -> None:
    """Run the command line; bad input ends it with one line that says what to do."""
    arguments = _parser().parse_args()
    try:
        arguments.run(arguments)
    except (ValueError, OSError) as error:
        _parser().exit(2, f"metakd-train: {error}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="metakd-train", description="Train MetaKD models.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    fit = commands.add_parser("fit", help="train a network, or go on with a run that was stopped")
    fit.add_argument("config", type=Path, help="YAML file; see training/configs")
    fit.add_argument("changes", nargs="*", metavar="key=value", help="settings to change")
    fit.add_argument("--output", type=Path, required=True, help="the run's folder")
    fit.add_argument("--resume", action="store_true", help="go on from the folder's checkpoint")
    fit.set_defaults(run=_fit)

    export = commands.add_parser("export", help="make a model package of a run")
    export.add_argument("run_folder", type=Path, metavar="RUN", help="the run's folder")
    export.add_argument("--card", type=Path, required=True, help="YAML: name, data, licences")
    export.add_argument("--evaluation", type=Path, help="summary.json of `metakd evaluate`")
    export.add_argument("--output", type=Path, required=True, help="the package's folder")
    export.set_defaults(run=_export)
    return parser


def _fit(arguments: argparse.Namespace) -> None:
    arguments.output.mkdir(parents=True, exist_ok=True)
    if (arguments.output / CHECKPOINT).exists() and not arguments.resume:
        raise SystemExit(f"{arguments.output}: holds a run; add --resume or choose another folder")
    run = Run(read_config(arguments.config, arguments.changes), arguments.output)
    run.load_data()
    if arguments.resume:
        run.resume()
    run.fit()


def _export(arguments: argparse.Namespace) -> None:
    config = read_config(arguments.run_folder / "config.yaml", [])
    network = averaged_network(arguments.run_folder, config)
    evaluation = None
    if arguments.evaluation:
        evaluation = json.loads(arguments.evaluation.read_text(encoding="utf-8"))
        check_evaluation(evaluation, network, Path(config.split))
    description = yaml.safe_load(arguments.card.read_text(encoding="utf-8"))
    card = make_card(
        network, description=description, spacing=config.spacing, evaluation=evaluation
    )
    write_package(arguments.output, card, network)
    print(arguments.output)


if __name__ == "__main__":
    main()
