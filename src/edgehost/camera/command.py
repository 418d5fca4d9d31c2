"""`edgehost camera`: the command line."""

import argparse
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from rich.console import Console
from rich.progress import track

from edgehost.camera.drop import drop, paced, pictures_in, write
from edgehost.camera.tag import SCRATCHED, generate
from edgehost.camera.truth import writing_labels

DESCRIPTION = """Drop pictures of metal luggage tags into a directory, as a camera on the line
would.

They are made up, scratches included, and what they show is written beside them
in labels.csv; or, with --existing, they are the pictures of a directory, in the
order of their names."""
EXAMPLE = """examples:
  edgehost camera --output images --camera top --count 100 --rate 5
  edgehost camera --output images --existing sample_images --rate 2"""
COUNT = 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description, parser.epilog = DESCRIPTION, EXAMPLE
    add = parser.add_argument
    add("--output", type=Path, required=True, metavar="DIR", help="where the pictures go; made if missing")
    add("--camera", default="", metavar="NAME", help="put them into this subdirectory of it")
    add("--count", type=_positive, metavar="N", help=f"how many (default {COUNT}; with --existing: all)")
    add("--rate", type=_rate, metavar="PER_SECOND", help="how many a second (default: as fast as they come)")
    add(
        "--in-place",
        action="store_true",
        help="write in place, in two halves, instead of renaming into place",
    )
    add("--existing", type=Path, metavar="DIR", help="drop the pictures of this directory, not made-up ones")
    made = parser.add_argument_group("made-up pictures")
    made.add_argument("--seed", type=_seed, metavar="N", help="same seed, same pictures (default 0)")
    share_help = f"share of them that has scratches, 0 to 1 (default {SCRATCHED})"
    made.add_argument("--scratched", type=_share, metavar="SHARE", help=share_help)
    made.add_argument(
        "--labels", type=Path, metavar="FILE", help="the truth (default: labels.csv beside them)"
    )
    parser.set_defaults(run_command=run)


@dataclass(slots=True)
class Tally:
    """What has landed so far."""

    directory: Path
    landed: int = 0
    scratched: int = 0
    labels: Path | None = None

    def __str__(self) -> str:
        text = f"{self.landed} pictures dropped into {self.directory}"
        return f"{text}, {self.scratched} of them scratched: see {self.labels}" if self.labels else text


def run(arguments: argparse.Namespace) -> int:
    """Drop the pictures. 0 when all have landed, 1 on an error, 2 on a misuse, 130 after Ctrl-C."""
    if misuse := _misuse(arguments):
        return _say(f"edgehost camera: {misuse}", 2)
    tally = Tally(arguments.output / arguments.camera)
    try:
        _drop_all(arguments, tally)
    except KeyboardInterrupt:
        return _say(f"stopped: {tally}", 130)
    except OSError as error:
        return _say(f"edgehost camera: {error}\nstopped: {tally}", 1)
    return _say(str(tally), 0)


def _misuse(arguments: argparse.Namespace) -> str | None:
    """Why these arguments don't go together, and what to do; None if they do."""
    given = [name for name in ("seed", "scratched", "labels") if getattr(arguments, name) is not None]
    if arguments.existing and given:
        return f"--existing drops pictures as they are: leave out {', '.join(f'--{name}' for name in given)}"
    if Path(arguments.camera).name != arguments.camera or arguments.camera.startswith("."):
        return f"--camera {arguments.camera!r} is not a plain name: name one subdirectory, such as top"
    return None


def _drop_all(arguments: argparse.Namespace, tally: Tally) -> None:
    """Drop what the arguments ask for; the tally grows as pictures land."""
    if arguments.existing:
        paths = list(islice(pictures_in(arguments.existing), arguments.count))
        landing, total = _existing(arguments, paths, tally), len(paths)
    else:
        total = arguments.count or COUNT
        landing = _made(arguments, total, tally)
    console = Console(stderr=True)
    with closing(landing):
        for _ in track(landing, "dropping", total, console=console, disable=not console.is_terminal):
            tally.landed += 1


def _existing(arguments: argparse.Namespace, paths: list[Path], tally: Tally) -> Generator[Path, None, None]:
    return drop(paths, tally.directory, arguments.rate, arguments.in_place)


def _made(arguments: argparse.Namespace, count: int, tally: Tally) -> Generator[Path, None, None]:
    tally.directory.mkdir(parents=True, exist_ok=True)
    tally.labels = arguments.labels or tally.directory / "labels.csv"
    scratched = SCRATCHED if arguments.scratched is None else arguments.scratched
    with writing_labels(tally.labels) as labels:
        for picture in paced(generate(count, arguments.seed or 0, scratched), arguments.rate):
            labels.add(picture)
            yield write(tally.directory / picture.name, picture.jpeg, arguments.in_place)
            tally.scratched += bool(picture.boxes)


def _say(text: str, code: int) -> int:
    Console(stderr=True).print(text, markup=False, highlight=False, soft_wrap=True)
    return code


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1")
    return number


def _seed(text: str) -> int:
    if (number := int(text)) < 0:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 0")
    return number


def _rate(text: str) -> float:
    if not 0 < (number := float(text)) < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return number


def _share(text: str) -> float:
    if not 0 <= (number := float(text)) <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 0 to 1")
    return number
