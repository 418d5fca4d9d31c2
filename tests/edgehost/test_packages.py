"""Artifacts: found, unpacked, and kept inside their directory."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest

from edgehost.packages import Layout, PackageError, find_recipe, stage, unzip
from edgehost.recipe import Artifact, Recipe, Rules

RECIPE = Recipe("com.a", "1.0.0", artifacts=(Artifact("code.zip", True), Artifact("plain.txt", False)))


def zip_with(path: Path, *entries: zipfile.ZipInfo | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for entry in entries:
            archive.writestr(entry, "target" if isinstance(entry, zipfile.ZipInfo) else "content")
    return path


def symbolic_link(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry


def executable(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = (stat.S_IFREG | 0o755) << 16
    return entry


@pytest.mark.parametrize(
    "entry", ["../x", "a/../../x", "/etc/x", "..\\x", symbolic_link("link"), symbolic_link("a/link")]
)
def test_entry_that_escapes_is_refused_and_nothing_unpacked(
    tmp_path: Path, entry: zipfile.ZipInfo | str
) -> None:
    """Upwards, absolute, or through a link: the archive is refused whole, by the entry's name."""
    archive = zip_with(tmp_path / "evil.zip", "good.txt", entry)
    with pytest.raises(PackageError, match=r"evil\.zip: entry .*(outside)"):
        unzip(archive, tmp_path / "out" / "here")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["evil.zip"]


def test_damaged_archive_is_refused(tmp_path: Path) -> None:
    """Something else with the name of a zip."""
    (tmp_path / "x.zip").write_text("no zip")
    with pytest.raises(PackageError, match=r"x\.zip can't be unpacked"):
        unzip(tmp_path / "x.zip", tmp_path / "out")


def test_permissions_are_kept(tmp_path: Path) -> None:
    """A script stays executable, a directory stays a directory."""
    unzip(zip_with(tmp_path / "x.zip", "dir/", executable("dir/run.sh"), "dir/data"), tmp_path / "out")
    assert (tmp_path / "out/dir/run.sh").stat().st_mode & 0o111
    assert not (tmp_path / "out/dir/data").stat().st_mode & 0o111


def test_staged_version_is_put_in_place(tmp_path: Path) -> None:
    """Artifacts where {artifacts:path} points; archives below {artifacts:decompressedPath}, by their stem."""
    artifacts, staging, layout = tmp_path / "artifacts", tmp_path / "staging", Layout(tmp_path / "root")
    zip_with(artifacts / "com.a/1.0.0/code.zip", "inside.txt")
    (artifacts / "com.a/1.0.0/plain.txt").write_text("plain")
    (tmp_path / "r.yaml").write_text("recipe")
    staging.mkdir()
    stage(RECIPE, tmp_path / "r.yaml", artifacts, staging).install(layout)
    assert (layout.unarchived(RECIPE) / "code/inside.txt").read_text() == "content"
    assert (layout.artifacts(RECIPE) / "plain.txt").read_text() == "plain"
    assert stage(RECIPE, tmp_path / "r.yaml", artifacts, staging).same_files(layout)
    (artifacts / "com.a/1.0.0/plain.txt").write_text("edited")
    assert not stage(RECIPE, tmp_path / "r.yaml", artifacts, staging).same_files(layout)


def test_missing_artifact_is_named(tmp_path: Path) -> None:
    """With the path where it should be; and with no directory given, what to give."""
    with pytest.raises(PackageError, match=r"com\.a/1\.0\.0/code\.zip is missing"):
        stage(RECIPE, tmp_path / "r.yaml", tmp_path, tmp_path)
    with pytest.raises(PackageError, match="--artifacts"):
        stage(RECIPE, tmp_path / "r.yaml", None, tmp_path)


def test_recipe_is_found_by_what_it_says(tmp_path: Path) -> None:
    """Whatever its file is called; broken neighbours are named only where the search fails."""
    (tmp_path / "any-name.json").write_text(
        '{"ComponentName": "com.a", "ComponentVersion": "1.0.0", "Manifests": [{}]}'
    )
    (tmp_path / "broken.yaml").write_text("a: [")
    assert find_recipe(tmp_path, "com.a", "1.0.0", Rules())[1].name == "any-name.json"
    with pytest.raises(PackageError, match=r"no recipe of com\.a 2\.0\.0 in .*broken\.yaml"):
        find_recipe(tmp_path, "com.a", "2.0.0", Rules())
    with pytest.raises(PackageError, match="not a directory"):
        find_recipe(tmp_path / "none", "com.a", "1.0.0", Rules())
