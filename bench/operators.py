"""Where the time of ONNX files goes, by kind of operator: as ONNX Runtime's own profile tells it.

    .venv/bin/python bench/operators.py models/fp32.onnx int8.onnx

For each file the milliseconds of each kind in one inference, its share, and how many there are of it. One thread. The
operators are those that ONNX Runtime makes of the graph: a convolution and its activation may be one. Of each
operator the median of all runs counts, so what else the machine does hardly shows; the profile itself costs a little.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

from inspector.core.tensor import fit
from inspector.shell import detector

SAMPLE = Path(__file__).parents[1] / "sample_images/tag-0001.jpg"
WARM_UP = 5


def main() -> None:
    """Profile each file and print one table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", type=Path, nargs="+", metavar="ONNX")
    parser.add_argument("--runs", type=int, default=100, metavar="N", help="inferences of each file (100)")
    parser.add_argument("--json", action="store_true", help="one object a file instead of a table")
    arguments = parser.parse_args()
    profiles = {str(path): profile(path, arguments.runs) for path in arguments.files}
    if arguments.json:
        for path, (spent, counts) in profiles.items():
            print(json.dumps({"file": path, "ms": spent, "operators": counts}))
    else:
        print("\n".join(table(profiles)))


def profile(path: Path, runs: int) -> tuple[dict[str, float], dict[str, int]]:
    """Of each kind of operator the milliseconds in one inference, and how many there are."""
    interface = detector.load(path, threads=1).interface
    canvas, _ = fit(np.asarray(cv2.imread(str(SAMPLE)), np.uint8), interface.width, interface.height)
    given = interface.fill(canvas)
    with tempfile.TemporaryDirectory() as directory:
        session = _session(path, Path(directory) / "profile")
        for _ in range(WARM_UP + runs):
            session.run(None, {session.get_inputs()[0].name: given})
        events = json.loads(Path(session.end_profiling()).read_text())
    taken: dict[tuple[str, str], list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            # a node has no other name than its own, and what it puts out tells those of one name apart
            node = event["name"] + str(event["args"]["output_type_shape"])
            taken[event["args"]["op_name"], node].append(event["dur"] / 1e3)
    spent: Counter[str] = Counter()
    for (kind, _), durations in taken.items():
        spent[kind] += statistics.median(durations[WARM_UP:])
    return {kind: round(ms, 4) for kind, ms in spent.most_common()}, dict(Counter(kind for kind, _ in taken))


def _session(path: Path, prefix: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_profiling, options.profile_file_prefix = True, str(prefix)
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def table(profiles: dict[str, tuple[dict[str, float], dict[str, int]]]) -> list[str]:
    """A line for each kind of operator, the costliest first, with three columns for each file."""
    totals = {path: sum(spent.values()) for path, (spent, _) in profiles.items()}
    kinds = Counter()
    for spent, _ in profiles.values():
        kinds |= Counter(spent)
    width = max(20, *(len(path) + 2 for path in profiles))
    lines = [f"{'':20}" + "".join(f"{path:>{width}}" for path in profiles)]
    for kind in ["all", *(kind for kind, _ in kinds.most_common())]:
        cells = []
        for path, (spent, counts) in profiles.items():
            ms = totals[path] if kind == "all" else spent.get(kind)
            count = sum(counts.values()) if kind == "all" else counts.get(kind)
            cells.append("" if ms is None else f"{ms:7.3f} ms {ms / totals[path]:4.0%} x{count:<3}")
        lines.append(f"{kind:20}" + "".join(f"{cell:>{width}}" for cell in cells))
    return lines


if __name__ == "__main__":
    main()
