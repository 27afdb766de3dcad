"""`metakd`: the command line. What it understands is here, what it does in `commands`.

Exit status: 0 done; 2 bad usage or bad input, with one line on stderr that says what to do; 1
anything else.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import NoReturn

from metakd import help_texts
from metakd.card import INTENDED_USE
from metakd.contrasts import CONTRASTS, SUBSETS, Contrast, ContrastSet, parse_subset
from metakd.outputs import IMAGE_ENDINGS
from metakd.regions import CONVENTIONS
from metakd.step_options import add_step_options


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    arguments = build_parser().parse_args(argv)
    if arguments.command == "worker":
        from metakd import worker

        worker.main()
    signal.signal(signal.SIGTERM, _stop)  # so that half-written files are removed
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        return _complain("stopped", 1)


def _run(arguments: argparse.Namespace) -> int:
    import SimpleITK as sitk  # late, as torch is: --help should not wait for them

    from metakd import commands
    from metakd.packages import ModelError
    from metakd.study import StudyError
    from metakd.usage import UsageError

    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        commands.COMMANDS[arguments.command](arguments)
    except (StudyError, ModelError, UsageError, OSError) as error:
        return _complain(str(error), 2)
    except MemoryError as error:
        return _complain(str(error), 1)
    return 0


def _complain(message: str, status: int) -> int:
    print(f"metakd: {' '.join(message.split())}", file=sys.stderr)
    return status


def _stop(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


def build_parser() -> argparse.ArgumentParser:
    """The parser of every command; `arguments.command` is a key of `commands.COMMANDS`."""
    parser: argparse.ArgumentParser = _Parser(
        prog="metakd",
        description="Brain tumour segmentation from any subset of T1, T1c, T2 and FLAIR.",
        epilog=INTENDED_USE,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="versions and device, and exit")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_segment(commands)
    _add_preprocess(commands)
    _add_evaluate(commands)
    _add_models(commands)
    _add_phantom(commands)
    _command(commands, "worker", "worker", "segment for another program", help_texts.WORKER)
    return parser


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line instead of the whole usage; sub-parsers are of the same class."""
        self.exit(_complain(f"{message}; see {self.prog} --help", 2))


class _Version(argparse.Action):
    def __call__(self, *_: object) -> None:
        from metakd.commands import version

        print(version())
        raise SystemExit(0)


Commands = argparse._SubParsersAction  # the only name argparse has for it


def _command(
    commands: Commands[argparse.ArgumentParser], name: str, key: str, summary: str, text: str = ""
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=summary,
        description=text or summary,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=key)
    return parser


def _add_segment(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "segment", "segment", "segment one patient", help_texts.SEGMENT)
    _add_contrasts(parser)
    outputs = parser.add_argument_group("results")
    outputs.add_argument(
        "--output", type=_image_file, required=True, metavar="SEG.nii.gz", help="label map"
    )
    outputs.add_argument(
        "--labels",
        choices=("brats2023", "brats2018"),
        default="brats2023",
        help="values in the label map: 1 NCR, 2 ED and for ET 3 (brats2023, default) or 4",
    )
    outputs.add_argument("--report", type=Path, metavar="R.json", help="volumes and reliability")
    outputs.add_argument("--preview", type=_png_file, metavar="P.png", help="picture to look at")
    outputs.add_argument(
        "--probabilities", type=Path, metavar="DIR", help="folder for one volume a region"
    )
    outputs.add_argument(
        "--prepared",
        type=Path,
        metavar="DIR",
        help="folder for the registered contrasts, with skull, and the brain mask",
    )
    _add_reference(parser)
    add_step_options(parser)
    _add_model(parser)
    _add_device(parser)


def _add_preprocess(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = _command(
        *(commands, "preprocess", "preprocess"),
        *("register one patient's contrasts and extract the brain", help_texts.PREPROCESS),
    )
    _add_contrasts(parser)
    outputs = parser.add_argument_group("results")
    outputs.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder")
    outputs.add_argument(
        "--grid",
        choices=("reference", "sri24"),
        default="reference",
        help="where the images lie: the reference's own grid (default), or one as BraTS has it",
    )
    outputs.add_argument(
        "--keep-skull", action="store_true", help="leave what is outside the brain as it is"
    )
    _add_reference(parser)
    add_step_options(parser)
    _add_device(parser)


def _add_contrasts(parser: argparse.ArgumentParser) -> None:
    inputs = parser.add_argument_group("contrasts (at least one)")
    for contrast in CONTRASTS:
        inputs.add_argument(
            f"--{contrast.value}", type=Path, metavar="FILE", help=f"{contrast.label} image"
        )


def _add_reference(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--reference",
        type=_contrast,
        metavar="{" + ",".join(contrast.value for contrast in CONTRASTS) + "}",
        help="whose grid the result lies on",
    )


def _add_evaluate(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = _command(
        commands,
        "evaluate",
        "evaluate",
        "score a model on patients with truth",
        help_texts.EVALUATE,
    )
    parser.add_argument(
        "--cases",
        type=Path,
        nargs="+",
        required=True,
        metavar="COHORT",
        help="the patients: folders, or .json or .csv lists",
    )
    parser.add_argument(
        "--labels",
        choices=CONVENTIONS,
        help="convention of the truth (default: by file name and content)",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="for the scores")
    parser.add_argument(
        "--subsets",
        type=_subsets,
        default=list(SUBSETS),
        metavar="LIST",
        help="all (default), or a list such as t1c+flair,t2",
    )
    parser.add_argument(
        "--only", metavar="FILE.json:KEY", help="only the cases listed under a key of a JSON file"
    )
    _add_model(parser)
    _add_device(parser)


def _add_models(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("models", help="list, show, verify, import and remove models")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    _command(actions, "list", "models list", "installed models")
    for action, argument, summary in (
        ("show", "MODEL", "a model's card: training data, expected Dice, licence"),
        ("verify", "MODEL", "check a model's files and checksum"),
        ("import", "FILE", "install a model package, a folder or a zip"),
        ("remove", "MODEL", "delete an imported model"),
    ):
        one = _command(actions, action, f"models {action}", summary)
        one.add_argument("model", metavar=argument)


def _add_phantom(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = _command(
        commands, "phantom", "phantom", "make synthetic patients, with truth, to try things on"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--seed", type=int, default=0, help="of the first case (default 0)")
    parser.add_argument("--cases", type=_positive, default=1, help="how many (default 1)")


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", metavar="NAME|DIR", help="installed model or package folder (default embedded)"
    )


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device",
        default="auto",
        metavar="auto|cpu|cuda[:N]|mps",
        help="where to compute (default auto)",
    )


def _image_file(text: str) -> Path:
    if not text.endswith(IMAGE_ENDINGS):
        raise argparse.ArgumentTypeError(f"'{text}' must end in {', '.join(IMAGE_ENDINGS)}")
    return Path(text)


def _contrast(text: str) -> Contrast:
    try:
        return Contrast(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}' is none of t1, t1c, t2, flair") from error


def _png_file(text: str) -> Path:
    if not text.endswith(".png"):
        raise argparse.ArgumentTypeError(f"'{text}' must end in .png")
    return Path(text)


def _subsets(text: str) -> list[ContrastSet]:
    if text == "all":
        return list(SUBSETS)
    try:
        return [parse_subset(part) for part in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 1")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
