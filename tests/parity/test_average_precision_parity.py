"""Mean average precision comes out as Ultralytics' own validation has it, of the same model on the same pictures."""

from pathlib import Path

import pytest

from inspector.core.detections import RAW_FLOOR
from inspector.shell import detector
from modelkit import dataset
from modelkit.average_precision import Coco
from modelkit.labels import read_csv
from modelkit.predictions import predict
from uncut import uncut

pytestmark = pytest.mark.models

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "sample_images"
ULTRALYTICS_FLOOR = 0.001
"""Down to which it validates unless told otherwise; the detector that ships forgets what is below RAW_FLOOR."""
TOLERANCE = 0.01
"""Both take 101 points of the curve, Ultralytics between its corners in a straight line, COCO in steps."""


def test_mean_average_precision_is_that_of_ultralytics(ultralytics, tmp_path: Path) -> None:
    """Down to the same floor; what that costs, beside Ultralytics' own, is printed."""
    pictures = read_csv(SAMPLES / "labels.csv", SAMPLES)
    plain = tmp_path / "plain.onnx"
    plain.write_bytes(uncut().SerializeToString())
    model = detector.load(plain)
    data = dataset.write(pictures, model.labels, [False] * len(pictures), tmp_path / "data")

    def validate(floor: float):
        return ultralytics.YOLO(plain, task="detect").val(
            data=str(data), imgsz=448, batch=1, rect=False, conf=floor, iou=0.7, max_det=300, plots=False,
            verbose=False, workers=0, device="cpu", project=str(tmp_path), name="val",
        ).box  # fmt: skip

    found = predict(pictures, {"fp32": model}, images=SAMPLES, known=None)
    ours = Coco([each.labels for each in found], [each.raw("fp32") for each in found], 1).mean(range(16))
    theirs, deeper = validate(RAW_FLOOR), validate(ULTRALYTICS_FLOOR)
    print(f"\nmodelkit: mAP50 {ours.map50:.3f}, mAP50-95 {ours.map50_95:.3f}")
    for floor, box in ((RAW_FLOOR, theirs), (ULTRALYTICS_FLOOR, deeper)):
        print(f"Ultralytics down to {floor}: mAP50 {box.map50:.3f}, mAP50-95 {box.map:.3f}")
    assert ours.map50 > 0.3
    assert ours.map50 == pytest.approx(theirs.map50, abs=TOLERANCE)
    assert ours.map50_95 == pytest.approx(theirs.map, abs=TOLERANCE)
