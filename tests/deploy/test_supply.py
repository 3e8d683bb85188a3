"""The supply chain: what is built, what it is built of, and what is said of advisories that nobody could look up."""

import json
import zipfile
from datetime import date
from pathlib import Path

import pytest

from scripts import package, supply
from scripts.advisories import known, newest


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> package.Built:
    """The package as these sources give it."""
    return package.build(package.ROOT, tmp_path_factory.mktemp("built"), package.HERE)


def test_the_same_sources_give_the_same_bytes(built: package.Built, tmp_path: Path) -> None:
    """Another folder, mask, zone, language and date do not show in the archives, nor does building from the sdist."""
    assert package.build(built.tree, tmp_path, package.ELSEWHERE).sums == built.sums
    assert package.again(tmp_path, built.sdist).sums == built.sums


def test_other_sources_give_other_bytes(built: package.Built, tmp_path: Path) -> None:
    """One byte more in one module changes both archives, so that equal hashes say something."""
    module = package.copied(built.tree, tmp_path / "changed") / "src" / "modelward" / "__init__.py"
    module.write_text(module.read_text() + "#")
    changed = package.built(tmp_path / "changed", tmp_path / "dist", package.HERE).sums
    assert {name for name, digest in changed.items() if digest != built.sums[name]} == set(built.sums)


def test_the_wheel_holds_the_package_and_nothing_else(built: package.Built) -> None:
    """Every module, page, script and the type marker are in the wheel; tests and stray files are not."""
    with zipfile.ZipFile(built.wheel) as archive:
        names = set(archive.namelist())
    assert package.strays(built.tree, built.wheel) == []
    assert {"modelward/py.typed", "modelward/web/static/style.css", "modelward/web/templates/base.html"} <= names


def test_a_stray_file_in_the_wheel_is_named(built: package.Built, tmp_path: Path) -> None:
    """A file that does not belong there, and one that is lacking, are both told."""
    wheel = tmp_path / "stray.whl"
    with zipfile.ZipFile(built.wheel) as whole, zipfile.ZipFile(wheel, "w") as archive:
        for name in set(whole.namelist()) - {"modelward/py.typed"}:
            archive.writestr(name, whole.read(name))
        for name in ("tests/test_a.py", "modelward/notes.txt", "modelward/web/static/dump.bin"):
            archive.writestr(name, "x")
    wrong = ["modelward/notes.txt", "modelward/web/static/dump.bin", "tests/test_a.py", "-modelward/py.typed"]
    assert package.strays(built.tree, wheel) == wrong


def test_the_wheel_runs_with_its_locked_needs_alone(built: package.Built, tmp_path: Path) -> None:
    """In an empty environment every module loads, and the bill of materials names each need with hash and licence."""
    python = package.install(tmp_path, built.wheel, supply.LOCKS[0])
    assert package.quietly([str(python.with_name("modelward")), "--version"]).startswith("modelward ")
    assert int(package.quietly([str(python), "-c", supply.IMPORT_ALL])) > 100
    bill = supply.materials(python, built.wheel, supply.LOCKS[0])
    named = {component["name"].lower().replace("_", "-") for component in bill["components"]}
    assert named == {need.name for need in package.needed(supply.LOCKS[0])}
    assert supply.unlicensed(bill) == []
    archives = [component["externalReferences"][-1] for component in bill["components"]]
    assert all(archive["type"] == "distribution" and archive["hashes"] for archive in archives)


def test_a_requirement_without_hash_or_version_is_named(tmp_path: Path) -> None:
    """A range, a missing hash and a hash of another kind are not pins."""
    lock = tmp_path / "lock.txt"
    good, short = "sha256:" + "a" * 64, "sha256:" + "a" * 63
    lines = (
        f"a==1 --hash={good}",
        "b==1",
        f"c>=1 --hash={good}",
        f"d==1 --hash=md5:{'a' * 32}",
        f"e==1 --hash={short}",
    )
    lock.write_text("# a comment\n" + "\n".join(lines) + "\n")
    assert supply.unpinned(lock) == ["b==1", "c>=1", "d==1", "e==1"]
    assert [supply.unpinned(real) for real in supply.LOCKS] == [[], []]


SEEN = {"name": "seen", "version": "1", "vulns": []}
SKIPPED = {"name": "skipped", "skip_reason": "not found"}
HIT = {"name": "hit", "version": "2", "vulns": [{"id": "X-1"}]}


@pytest.mark.parametrize(
    ("report", "code", "text"),
    [
        ([SEEN], 0, "1 looked up, no advisory"),
        ([SEEN, HIT], 1, "1 with an advisory: hit 2 (X-1); 1 looked up, no advisory"),
        ([SEEN, SKIPPED], 4, "1 looked up, no advisory; NOT CHECKED: 1 could not be looked up from here"),
        ([SKIPPED], 4, "NOT CHECKED: 1 could not be looked up from here"),
        ([], 4, "NOT CHECKED: the advisory service did not answer"),
        (None, 4, "NOT CHECKED: the advisory service did not answer"),
    ],
)
def test_what_was_not_looked_up_is_never_called_clean(report: list[object] | None, code: int, text: str) -> None:
    """A package that the service skipped, or a service that does not answer, leaves the question open."""
    said = supply.judged("Traceback" if report is None else json.dumps({"dependencies": report}))
    assert (said.code, str(said)) == (code, text)


ADVISORY = """id: PYSEC-2026-1
details: Something is wrong with it.
published: '2026-02-03T00:00:00Z'
affected:
- package: {name: jinja2, ecosystem: PyPI}
  ranges:
  - type: ECOSYSTEM
    events:
    - introduced: '0'
    - fixed: 2.11.3
    - introduced: '3'
    - last_affected: '%s'
  versions: [2.12.dev5]
- package: {name: other, ecosystem: PyPI}
  versions: ['9']
"""


def copy_of(tmp_path: Path, last: str) -> Path:
    """A folder with one advisory."""
    (tmp_path / "vulns" / "jinja2").mkdir(parents=True)
    (tmp_path / "vulns" / "jinja2" / "PYSEC-2026-1.yaml").write_text(ADVISORY % last)
    return tmp_path


@pytest.mark.parametrize(
    ("version", "hit"),
    [
        ("2.11.2", True),
        ("2.11.3", False),
        ("2.12.dev5", True),
        ("2.12", False),
        ("3.0", True),
        ("3.1", True),
        ("3.1.1", False),
        ("9", False),
    ],
)
def test_a_copy_of_the_advisories_is_read_by_their_own_rules(tmp_path: Path, version: str, hit: bool) -> None:  # noqa: FBT001
    """By ranges of versions, and by those named one by one."""
    assert [one["id"] for one in known(copy_of(tmp_path, "3.1"), "jinja2", version)] == ["PYSEC-2026-1"] * hit


@pytest.mark.parametrize(("last", "code"), [("3.0", 0), ("99", supply.WRONG)])
def test_pip_audit_asks_a_copy_on_this_machine(tmp_path: Path, last: str, code: int) -> None:
    """Nothing is asked of the network, and a package with an advisory is named."""
    said = supply.asked(supply.LOCKS[0], copy_of(tmp_path, last))
    assert said.code == code
    assert ("jinja2" in str(said)) == bool(code)
    assert newest(tmp_path) == date(2026, 2, 3)


@pytest.mark.parametrize(("today", "code"), [(date(2026, 3, 1), 0), (date(2026, 4, 1), supply.UNKNOWN)])
def test_an_old_copy_is_no_clean_result(tmp_path: Path, today: date, code: int) -> None:
    """It says of which day it is, and that it knows of nothing since."""
    said, found = supply.of_when(copy_of(tmp_path, "3.0"), today)
    assert found == code
    assert "as of 2026-02-03" in said
    assert ("TOO OLD" in said) == bool(code)


def test_a_folder_without_advisories_is_none(tmp_path: Path) -> None:
    """It would know of nothing, which is not the same as that there is nothing."""
    with pytest.raises(LookupError, match="no advisories"):
        newest(tmp_path)
