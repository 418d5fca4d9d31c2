"""Training: recorded, resumable, in the shape of the input, and nothing held out takes part."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from modelkit import train as training
from modelkit.dataset import DatasetError, write
from modelkit.extra import ExtraError
from modelkit.labels import LabelledPicture
from modelkit.recipe import RECIPES, Recipe, RecipeError, adapt
from modelkit.train import Record, TrainingError, train
from modelkit.yolo import read_yolo

needs_models = [
    pytest.mark.models,
    # Ultralytics' and torch's own
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.timeout(600),
]
SMALL = Recipe(epochs=3, batch=4, height=64, width=96, mosaic=0.5, close_mosaic=1, warmup_epochs=0.0)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Eight pictures of four parts, of which the last is held out."""
    rng = np.random.default_rng(1)
    pictures = []
    for number in range(8):
        pixels = rng.integers(0, 60, (60, 90, 3), np.uint8)
        left, top = rng.integers(5, 40), rng.integers(5, 25)
        pixels[top : top + 20, left : left + 30] = 240
        path = tmp_path / f"{number}.png"
        cv2.imwrite(str(path), pixels)
        boxes = np.array([[left, top, left + 30, top + 20]], np.float32)
        pictures.append(LabelledPicture(path, f"part-{number // 2}", boxes, np.zeros(1, np.int64)))
    held_out = [picture.part == "part-3" for picture in pictures]
    write(pictures, ["square"], held_out, tmp_path / "dataset")
    return tmp_path / "dataset"


def read(directory: Path) -> Record:
    return msgspec.json.decode((directory / "recipe.json").read_bytes(), type=Record)


def test_a_value_may_be_changed_as_text_and_an_unknown_name_is_told_with_those_there_are():
    assert adapt(RECIPES["finetune"], {"epochs": "3", "amp": "false"}).epochs == 3
    with pytest.raises(RecipeError, match=r"`epoch`; the parameters are variant, .*epochs"):
        adapt(RECIPES["finetune"], {"epoch": "3"})
    with pytest.raises(RecipeError, match=r"height"):
        adapt(RECIPES["finetune"], {"height": "321"})


def test_without_ultralytics_the_command_says_what_to_install(dataset, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ultralytics", None)
    with pytest.raises(ExtraError, match="make venv-models"):
        train(dataset, SMALL, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_other_labels_of_the_same_pictures_are_another_training(dataset, tmp_path, monkeypatch):
    """Pictures come back relabelled, and the model that knew the old labels is not what comes of them."""
    played_training(monkeypatch, tmp_path)
    train(dataset, SMALL, tmp_path / "run")
    pictures = read_yolo(dataset / "data.yaml", "(.)")[0]
    moved = [replace(each, boxes=each.boxes + 1) for each in pictures]
    for each in moved:
        shutil.copyfile(each.path, tmp_path / f"again-{each.path.name}")
    again = [replace(each, path=tmp_path / f"again-{each.path.name}") for each in moved]
    write(again, ["square"], [False] * 6 + [True] * 2, tmp_path / "relabelled")
    with pytest.raises(TrainingError, match="by another recipe or on other pictures"):
        train(tmp_path / "relabelled", SMALL, tmp_path / "run")


def test_weights_that_have_seen_what_is_held_out_are_refused(dataset, tmp_path, monkeypatch):
    """Its figures would be those of what it remembers."""
    played_training(monkeypatch, tmp_path)
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "model.pt").write_bytes(b"weights")
    (tmp_path / "all" / "recipe.json").write_text('{"trained_on": ["part-1", "part-3"]}')
    with pytest.raises(TrainingError, match="has been trained on part-3, which the dataset holds out"):
        train(dataset, SMALL, tmp_path / "run", pretrained=tmp_path / "all" / "model.pt")
    (tmp_path / "all" / "recipe.json").write_text('{"trained_on": ["part-1"]}')
    assert train(dataset, SMALL, tmp_path / "run", pretrained=tmp_path / "all" / "model.pt").is_file()


def test_what_is_no_dataset_is_named(tmp_path):
    (tmp_path / "pictures").mkdir()
    with pytest.raises(DatasetError, match=r"pictures is no dataset: .*make one by modelkit dataset"):
        train(tmp_path / "pictures", SMALL, tmp_path / "run")


def played_training(monkeypatch, tmp_path):
    """No network is trained."""
    (tmp_path / "last.pt").write_bytes(b"trained")
    monkeypatch.setattr(training, "_run", lambda *_: tmp_path / "last.pt")
    monkeypatch.setattr(training, "_versions", dict)


def interrupt(monkeypatch, dataset, directory):
    """A training that ends when the third epoch is to be saved."""
    from modelkit.trainer import Trainer

    save, saved = Trainer.save_model, []

    def save_two(self):
        if len(saved) == 2:
            raise KeyboardInterrupt
        saved.append(self.epoch)
        return save(self)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Trainer, "save_model", save_two)
        train(dataset, SMALL, directory, device="cpu")
    assert saved == [0, 1]


class TestTraining:
    pytestmark = needs_models

    def test_what_came_of_it_is_on_record(self, dataset, tmp_path):
        model = train(dataset, SMALL, tmp_path / "run", device="cpu")
        record = read(tmp_path / "run")
        assert model.is_file()
        assert record.recipe == SMALL
        assert (record.trained_on, record.held_out) == (("part-0", "part-1", "part-2"), ("part-3",))
        assert record.held_out_images == ()
        assert record.labels == ("square",)
        assert record.finished_at

    def test_the_network_has_the_activation_and_the_classes(self, dataset, tmp_path):
        import torch
        from ultralytics import YOLO

        network = YOLO(train(dataset, SMALL, tmp_path / "run", device="cpu")).model
        kinds = {type(module) for module in network.modules()}
        assert torch.nn.ReLU in kinds
        assert torch.nn.SiLU not in kinds
        assert network.names == {0: "square"}

    def test_it_trains_on_the_shape_of_the_input_in_bfloat16(self, dataset, tmp_path, monkeypatch):
        import torch

        from modelkit.trainer import Trainer

        seen = []
        prepare = Trainer.preprocess_batch

        def look(self, batch):
            prepared = prepare(self, batch)
            seen.append((tuple(prepared["img"].shape[1:]), torch.is_autocast_enabled("cpu")))
            return prepared

        monkeypatch.setattr(Trainer, "preprocess_batch", look)
        train(dataset, SMALL, tmp_path / "run", device="cpu")
        assert set(seen) == {((3, 64, 96), True)}

    def test_what_was_interrupted_goes_on_after_the_last_whole_epoch(self, dataset, tmp_path, monkeypatch):
        from modelkit.trainer import Trainer

        interrupt(monkeypatch, dataset, tmp_path / "run")
        assert read(tmp_path / "run").finished_at is None
        begun = []
        start = Trainer._model_train
        monkeypatch.setattr(Trainer, "_model_train", lambda self: (begun.append(self.epoch), start(self)))
        train(dataset, SMALL, tmp_path / "run", device="cpu")
        assert begun == [2]
        assert read(tmp_path / "run").finished_at

    def test_what_is_finished_is_not_trained_again_and_nothing_else_is_taken_for_it(
        self, dataset, tmp_path, monkeypatch
    ):
        model = train(dataset, SMALL, tmp_path / "run", device="cpu")
        content = model.read_bytes()
        monkeypatch.setattr(training, "_run", lambda *_: pytest.fail("trained again"))
        assert train(dataset, SMALL, tmp_path / "run").read_bytes() == content
        other = msgspec.structs.replace(SMALL, seed=1)
        with pytest.raises(TrainingError, match="holds a training by another recipe"):
            train(dataset, other, tmp_path / "run")

    @pytest.mark.parametrize("stripped", [True, False])
    def test_an_end_after_the_last_epoch_costs_nothing(self, dataset, tmp_path, monkeypatch, stripped):
        """The disk is full when the result is copied, or the process ends before the optimizer's state is dropped."""
        from modelkit.trainer import Trainer

        def full(*_):
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patched, pytest.raises(OSError, match="No space left"):
            patched.setattr(
                training.whole if stripped else Trainer, "write" if stripped else "final_eval", full
            )
            if stripped:
                (tmp_path / "run").mkdir()
                patched.setattr(training, "_write", lambda *_: None)
            train(dataset, SMALL, tmp_path / "run", device="cpu")
        monkeypatch.setattr(Trainer, "train", lambda _: pytest.fail("trained again"))
        assert train(dataset, SMALL, tmp_path / "run", device="cpu").is_file()

    def test_a_torn_checkpoint_is_not_gone_on_from(self, dataset, tmp_path, monkeypatch):
        """The last whole one is."""
        interrupt(monkeypatch, dataset, tmp_path / "run")
        last = tmp_path / "run" / "training" / "weights" / "last.pt"
        last.write_bytes(last.read_bytes()[:1000])
        assert train(dataset, SMALL, tmp_path / "run", device="cpu").is_file()

    def test_it_goes_on_from_pretrained_weights(self, dataset, tmp_path):
        first = train(dataset, SMALL, tmp_path / "first", device="cpu")
        short = msgspec.structs.replace(SMALL, epochs=1, lr0=0.0, warmup_epochs=0.0, weight_decay=0.0)
        second = train(dataset, short, tmp_path / "second", pretrained=first, device="cpu")
        import torch
        from ultralytics import YOLO

        a, b = (YOLO(model).model.model[0].conv.weight.float() for model in (first, second))
        assert torch.allclose(a, b, atol=1e-3)
        assert read(tmp_path / "second").pretrained
