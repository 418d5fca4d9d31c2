"""Artifacts: found, unpacked, and kept inside their directory."""

from __future__ import annotations

import stat
import zipfile
from contextlib import nullcontext
from pathlib import Path

import pytest

from edgehost.packages import Found, Layout, PackageError, Staged, read_recipes, stage, unzip
from edgehost.recipe import Artifact, Recipe, Rules
from edgehost.store import ComponentStore

MINIMAL = """
{"RecipeFormatVersion": "2020-01-25", "ComponentName": "com.a", "ComponentVersion": "1.0.0", "Manifests": [{}]}
"""

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


def device(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = (stat.S_IFCHR | 0o666) << 16
    return entry


@pytest.mark.parametrize(
    "entry",
    [
        "../x",
        "a/../../x",
        "/etc/x",
        "..\\x",
        "C:\\x",
        symbolic_link("link"),
        symbolic_link("a/link"),
        device("null"),
    ],
)
def test_entry_that_escapes_is_refused_and_nothing_unpacked(
    tmp_path: Path, entry: zipfile.ZipInfo | str
) -> None:
    """Upwards, absolute, through a link, or no file: the archive is refused whole, by the entry's name."""
    archive = zip_with(tmp_path / "evil.zip", "good.txt", entry)
    with pytest.raises(PackageError, match=r"evil\.zip: entry .*(outside|neither a file)"):
        unzip(archive, tmp_path / "out" / "here")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["evil.zip"]


def test_damaged_archive_is_refused(tmp_path: Path) -> None:
    """Something else with the name of a zip."""
    (tmp_path / "x.zip").write_text("no zip")
    with pytest.raises(PackageError, match=r"x\.zip can't be unpacked"):
        unzip(tmp_path / "x.zip", tmp_path / "out")


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damaged_entry_is_refused(tmp_path: Path, compression: int) -> None:
    """Whatever it is compressed with."""
    with zipfile.ZipFile(tmp_path / "x.zip", "w", compression) as archive:
        archive.writestr("a", "hello" * 100)
    damaged = bytearray((tmp_path / "x.zip").read_bytes())
    damaged[45:55] = b"\xff" * 10
    (tmp_path / "x.zip").write_bytes(damaged)
    with pytest.raises(PackageError, match=r"x\.zip can't be unpacked"):
        unzip(tmp_path / "x.zip", tmp_path / "out")


def test_entry_without_a_name_is_refused(tmp_path: Path) -> None:
    """As a damaged directory has it."""
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a", "")
    content = (tmp_path / "x.zip").read_bytes()
    (tmp_path / "x.zip").write_bytes(content[:30] + b"\0" + content[31:].replace(b"a", b"\0", 1))
    with pytest.raises(PackageError, match=r"x\.zip can't be unpacked"):
        unzip(tmp_path / "x.zip", tmp_path / "out")


@pytest.mark.parametrize("entries", [("a", "a/b"), ("a/b", "a")])
def test_file_where_a_directory_must_be_is_refused(tmp_path: Path, entries: tuple[str, str]) -> None:
    """An archive that contradicts itself."""
    with pytest.raises(PackageError, match=r"x\.zip can't be unpacked"):
        unzip(zip_with(tmp_path / "x.zip", *entries), tmp_path / "out")


def test_archive_that_would_be_too_much_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    """A megabyte of zeros is a kilobyte of archive."""
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(1_000_000))
    with pytest.raises(
        PackageError, match=r"x\.zip would be 1000000 bytes when unpacked, .* room for 999999"
    ):
        unzip(tmp_path / "x.zip", tmp_path / "out", max_bytes=999_999)
    assert not (tmp_path / "out").exists()
    unzip(tmp_path / "x.zip", tmp_path / "out", max_bytes=1_000_000)


def test_entry_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    """No more is read than it says it has; and then it is not what it says it is."""
    path = zip_with(tmp_path / "x.zip", "lie")
    data = path.read_bytes()
    size = len("content").to_bytes(4, "little")
    path.write_bytes(data.replace(size + size, size + (1).to_bytes(4, "little")))
    with pytest.raises(PackageError, match=r"x\.zip can't be unpacked"):
        unzip(path, tmp_path / "out")


def staged(tmp_path: Path, *artifacts: Artifact, given: bool = True) -> Staged:
    """A staged version of com.a with these artifacts; whatever is in ``artifacts`` is given."""
    tmp_path.joinpath("r.yaml").write_text("recipe")
    staging = tmp_path / "staging"
    staging.mkdir(exist_ok=True)
    found = Found(Recipe("com.a", "1.0.0", artifacts=artifacts), tmp_path / "r.yaml")
    layout = Layout(tmp_path / "root")
    return stage(found, tmp_path / "artifacts" if given else None, layout, staging)


def test_permissions_are_those_of_the_recipe(tmp_path: Path) -> None:
    """Of the artifact and of all that is unpacked from it; directories can be entered whatever it says."""
    zip_with(tmp_path / "artifacts/com.a/1.0.0/code.zip", "dir/", executable("dir/run.sh"), "dir/data")
    zip_with(tmp_path / "artifacts/com.a/1.0.0/more.zip", "run.sh")
    result = staged(tmp_path, Artifact("code.zip", True), Artifact("more.zip", True, permission=0o555))
    modes = {
        str(path.relative_to(result.unarchived)): stat.S_IMODE(path.stat().st_mode)
        for path in result.unarchived.rglob("*")
        if path.is_file()
    }
    assert modes == {"code/dir/run.sh": 0o400, "code/dir/data": 0o400, "more/run.sh": 0o555}
    assert stat.S_IMODE((result.artifacts / "more.zip").stat().st_mode) == 0o555
    assert (result.unarchived / "code/dir").stat().st_mode & stat.S_IXUSR


@pytest.mark.parametrize(
    ("digest", "algorithm", "words"),
    [
        ("7XACtDnprIRfIjV9giusFERzD722AW0+yUMil7nsn3M=", "SHA-256", None),
        ("7XACtDnprIRfIjV9giusFERzD722AW0+yUMil7nsn3M=", None, None),
        (
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            "SHA-256",
            r"x\.txt has digest 7XAC.*, the recipe says AAAA",
        ),
        ("7XACtDnprIRfIjV9giusFERzD722AW0+yUMil7nsn3M=", "MD5", r"a digest by MD5; known is SHA-256"),
    ],
)
def test_digest_is_verified(tmp_path: Path, digest: str, algorithm: str | None, words: str | None) -> None:
    """Where the recipe gives one."""
    (tmp_path / "artifacts/com.a/1.0.0").mkdir(parents=True)
    (tmp_path / "artifacts/com.a/1.0.0/x.txt").write_text("content")
    artifact = Artifact("x.txt", False, digest, algorithm)
    with pytest.raises(PackageError, match=words) if words else nullcontext():
        staged(tmp_path, artifact)


def test_staged_version_is_put_in_place_and_back(tmp_path: Path) -> None:
    """Artifacts where {artifacts:path} points; archives below {artifacts:decompressedPath}, by their stem."""
    store, recipe = ComponentStore(Layout(tmp_path / "root"), Rules()), RECIPE
    layout, directory = store.layout, tmp_path / "artifacts/com.a/1.0.0"
    zip_with(directory / "code.zip", "inside.txt")
    (directory / "plain.txt").write_text("plain")
    first = staged(tmp_path, *recipe.artifacts)
    assert first.differs(layout, None)
    store.install(first, tmp_path / "aside-1")
    assert (layout.unarchived(recipe) / "code/inside.txt").read_text() == "content"
    assert (layout.artifacts(recipe) / "plain.txt").read_text() == "plain"
    stored = layout.recipes() / "com.a-1.0.0.yaml"
    assert not staged(tmp_path, *recipe.artifacts).differs(layout, stored)
    (directory / "plain.txt").write_text("other")
    second = staged(tmp_path, *recipe.artifacts)
    assert second.differs(layout, stored)
    stored.write_text(MINIMAL)  # a recipe that is found is what is moved aside
    store.install(second, tmp_path / "aside-2")
    assert (layout.artifacts(recipe) / "plain.txt").read_text() == "other"
    store.restore(tmp_path / "aside-2")
    assert (layout.artifacts(recipe) / "plain.txt").read_text() == "plain"
    assert stored.read_text() == MINIMAL
    store.clean({"com.a": {"1.0.0"}})
    assert stored.exists()
    store.clean({"com.a": {"2.0.0"}})
    assert not [path for path in (tmp_path / "root").rglob("*") if path.is_file()]


def test_staging_begins_empty(tmp_path: Path) -> None:
    """What a killed host left there goes, and what this deployment leaves."""
    (tmp_path / "packages/.staging/old").mkdir(parents=True)
    with ComponentStore(Layout(tmp_path), Rules()).staging() as staging:
        assert list(staging.iterdir()) == []
        (staging / "new").mkdir()
    assert list((tmp_path / "packages").iterdir()) == []


def test_missing_artifact_is_named(tmp_path: Path) -> None:
    """With the path where it should be; where it is a directory; and with none given, what to give."""
    code = Artifact("code.zip", True)
    with pytest.raises(PackageError, match=r"com\.a/1\.0\.0/code\.zip is missing"):
        staged(tmp_path, code)
    (tmp_path / "artifacts/com.a/1.0.0/code.zip").mkdir(parents=True)
    with pytest.raises(PackageError, match=r"com\.a/1\.0\.0/code\.zip is not a file"):
        staged(tmp_path, code)
    with pytest.raises(PackageError, match="--artifacts"):
        staged(tmp_path, code, given=False)


def test_artifact_that_is_kept_need_not_be_given_again(tmp_path: Path) -> None:
    """As on a device, which copies what is given over what it has."""
    kept = tmp_path / "root/packages/artifacts/com.a/1.0.0/x.txt"
    kept.parent.mkdir(parents=True)
    kept.write_text("kept")
    assert (staged(tmp_path, Artifact("x.txt", False)).artifacts / "x.txt").read_text() == "kept"
    assert (staged(tmp_path, Artifact("x.txt", False), given=False).artifacts / "x.txt").read_text() == "kept"


def test_recipes_are_known_by_what_they_say(tmp_path: Path) -> None:
    """Whatever their files are called; those that can't be used are told with the reason."""
    (tmp_path / "any-name.json").write_text(MINIMAL)
    (tmp_path / "broken.yaml").write_text("a: [")
    (tmp_path / "directory.yaml").mkdir()
    (found,), refused = read_recipes(tmp_path, Rules())
    assert (found.recipe.name, found.path.name) == ("com.a", "any-name.json")
    assert [path for path in ("broken.yaml", "directory.yaml") if any(path in reason for reason in refused)]
    assert len(refused) == 2
    with pytest.raises(PackageError, match="not a directory"):
        read_recipes(tmp_path / "none", Rules())
