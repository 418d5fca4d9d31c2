"""How long after a file is renamed into place the inspector knows of it, while other files are moved out.

    python bench/arrival.py [--files 300]

Each file is moved out of the directory as soon as it is seen, as AfterInspection: archive does. Where the package
watchdog is installed (`pip install watchdog`; the inspector does not use it) its observer does the same work in the
same run.
"""

from __future__ import annotations

import argparse
import importlib.util
import queue
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from inspector.core.settings import Settings
from inspector.shell.watcher import Watcher

Seen = Callable[[Path], None]


@contextmanager
def inspector_watcher(directory: Path, seen: Seen) -> Iterator[None]:
    stop = threading.Event()
    watcher = Watcher(directory, Settings(), lambda *_: False)

    def watch() -> None:
        for candidate in watcher.candidates(stop):
            seen(candidate.source)

    thread = threading.Thread(target=watch)
    thread.start()
    yield
    stop.set()
    thread.join()


@contextmanager
def watchdog_observer(directory: Path, seen: Seen) -> Iterator[None]:
    from watchdog.events import FileSystemEvent, FileSystemEventHandler
    from watchdog.observers import Observer

    class Handler(FileSystemEventHandler):
        def on_any_event(self, event: FileSystemEvent) -> None:
            for path in (event.src_path, event.dest_path):
                if path and Path(str(path)).parent == directory and Path(str(path)).exists():
                    seen(Path(str(path)))

    observer = Observer()
    observer.schedule(Handler(), str(directory))
    observer.start()
    yield
    observer.stop()
    observer.join()


def delays_ms(files: int, watching: Callable[[Path, Seen], object]) -> list[float]:
    """Milliseconds from each rename to its being seen."""
    with tempfile.TemporaryDirectory() as scratch:
        incoming, out = Path(scratch, "incoming"), Path(scratch, "out")
        incoming.mkdir()
        out.mkdir()
        arrivals: queue.Queue[tuple[str, float]] = queue.Queue()

        def seen(path: Path) -> None:
            moment = time.perf_counter()
            if path.exists():
                path.rename(out / path.name)
                arrivals.put((path.name, moment))

        delays = []
        with watching(incoming, seen):  # type: ignore[attr-defined]
            time.sleep(0.5)
            for number in range(files):
                source = Path(scratch, f"{number}.jpg")
                source.write_bytes(b"x")
                started = time.perf_counter()
                source.rename(incoming / source.name)
                _, moment = arrivals.get(timeout=10)
                delays.append((moment - started) * 1e3)
        return delays


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=300)
    files = parser.parse_args().files
    contestants = {"inspector": inspector_watcher}
    if importlib.util.find_spec("watchdog"):
        contestants["watchdog"] = watchdog_observer
    for name, watching in contestants.items():
        delays = sorted(delays_ms(files, watching))
        median, p99 = statistics.median(delays), delays[int(len(delays) * 0.99)]
        print(f"{name:10} median {median:8.2f} ms   p99 {p99:8.2f} ms   of {files} files")


if __name__ == "__main__":
    main()
