"""Check what Modelward is made of, and make what a release carries: archives, bill of materials, hashes."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from pathlib import Path
from shutil import copyfile
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from modelward.bootstrap import SystemClock
from scripts import package
from scripts.advisories import newest, served

LOCKS = (package.ROOT / "requirements" / "run.txt", package.ROOT / "requirements" / "dev.txt")
DIST = package.ROOT / "dist"
# Everything that the package holds, loaded where nothing is installed but what it says that it needs.
IMPORT_ALL = """
import importlib, pkgutil, modelward
names = [found.name for found in pkgutil.walk_packages(modelward.__path__, "modelward.")]
for name in names:
    if name != "modelward.__main__":
        importlib.import_module(name)
print(len(names))
"""
WRONG, UNKNOWN = 1, 4
FRESH = 30  # days; advisories come in every few hours


@dataclass(frozen=True)
class Advisories:
    """What the advisory service said of one lock file. ``unseen`` were not looked up: nothing is known of them."""

    known: tuple[str, ...] = ()
    clean: int = 0
    unseen: int = 0

    @property
    def code(self) -> int:
        """0 when every package was looked up and none has an advisory; it is never 0 when nothing was looked up."""
        if self.known:
            return WRONG
        return UNKNOWN if self.unseen or not self.clean else 0

    def __str__(self) -> str:
        said = [f"{len(self.known)} with an advisory: {', '.join(self.known)}"] if self.known else []
        said += [f"{self.clean} looked up, no advisory"] if self.clean else []
        said += [f"NOT CHECKED: {self.unseen} could not be looked up from here"] if self.unseen else []
        return "; ".join(said) or "NOT CHECKED: the advisory service did not answer"


def judged(report: str) -> Advisories:
    """Read a report of pip-audit, as JSON. What it skipped is unseen, although for pip-audit that is success."""
    try:
        found: list[dict[str, Any]] = json.loads(report)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return Advisories()
    seen = [one for one in found if "skip_reason" not in one]
    known = [f"{one['name']} {one['version']} ({vuln['id']})" for one in seen for vuln in one["vulns"]]
    return Advisories(tuple(known), sum(not one["vulns"] for one in seen), len(found) - len(seen))


def asked(lock: Path, folder: Path | None) -> Advisories:
    """Look every package of a lock file up in the advisory service, or in a folder of advisories."""
    command = [sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off"]
    command += ["--disable-pip", "--require-hashes", "--requirement", str(lock)]
    with served(folder) if folder is not None else nullcontext("") as address:
        command += ["--vulnerability-service", "osv", "--osv-url", address] if address else []
        environ = os.environ | ({"NO_PROXY": "127.0.0.1"} if address else {})  # noqa: TID251 - hands on what it has
        return judged(subprocess.run(command, capture_output=True, text=True, check=False, env=environ).stdout)


def looked_up(lock: Path, folder: Path | None) -> tuple[str, int]:
    """What is said of a lock file's packages, and 0, ``WRONG`` or ``UNKNOWN``."""
    said = asked(lock, folder)
    if folder is None:
        return str(said), said.code
    where, old = of_when(folder, SystemClock().now().date())
    return f"{said}{where}", said.code or old


def of_when(folder: Path, today: date) -> tuple[str, int]:
    """As of which day a copy of the advisories speaks, and ``UNKNOWN`` where that is too long ago."""
    day = newest(folder)
    old = (today - day).days > FRESH
    return f" (as of {day}, in {folder}{': TOO OLD to say more' if old else ''})", UNKNOWN if old else 0


def unpinned(lock: Path) -> list[str]:
    """The requirements of a lock file that name no single version, or no SHA-256."""
    return [
        str(need)
        for need, hashes in package.locked(lock)
        if [one.operator for one in need.specifier] != ["=="] or not _are_sums(hashes)
    ]


def _are_sums(hashes: list[str]) -> bool:
    return bool(hashes) and all(one.startswith("sha256:") and len(one) == len("sha256:") + 64 for one in hashes)


def materials(python: Path, wheel: Path, lock: Path) -> dict[str, Any]:
    """The bill of materials of an environment, as CycloneDX: licences from what is installed, hashes from the lock.

    Raises:
        RuntimeError: A component is not in the lock, or the bill is not valid CycloneDX.

    """
    command = [
        sys.executable,
        "-m",
        "cyclonedx_py",
        "environment",
        "--output-reproducible",
        "--no-validate",
        "--of",
        "JSON",
    ]
    command += ["--pyproject", str(package.ROOT / "pyproject.toml"), "--mc-type", "application", str(python)]
    bill: dict[str, Any] = json.loads(package.quietly(command))
    sums = {need.name: hashes for need, hashes in package.locked(lock)}
    own = bill["metadata"]["component"]
    own["hashes"] = [{"alg": "SHA-256", "content": sha256(wheel.read_bytes()).hexdigest()}]
    for component in bill["components"]:
        if component["name"].lower().replace("_", "-") not in sums:
            raise RuntimeError(f"{component['name']} is in the environment and not in {lock.name}")
        archives = sums[component["name"].lower().replace("_", "-")]
        component.setdefault("externalReferences", []).append(_archives(component["purl"], archives))
    return _valid(bill)


def _archives(purl: str, hashes: list[str]) -> dict[str, Any]:
    """The archives that the lock accepts for a component, by their hashes. Where they come from is not said."""
    sums = [{"alg": "SHA-256", "content": one.removeprefix("sha256:")} for one in hashes]
    return {"type": "distribution", "url": purl, "comment": "any one of these archives", "hashes": sums}


def _valid(bill: dict[str, Any]) -> dict[str, Any]:
    wrong = JsonStrictValidator(SchemaVersion.from_version(bill["specVersion"])).validate_str(json.dumps(bill))
    if wrong is not None:
        raise RuntimeError(f"the bill of materials is not valid CycloneDX: {wrong}")
    return bill


def unlicensed(bill: dict[str, Any]) -> list[str]:
    """The components of which no licence is known."""
    return [component["name"] for component in bill["components"] if not component.get("licenses")]


def checks(scratch: Path, *, offline: bool, folder: Path | None = None) -> Iterator[tuple[str, str, int]]:
    """Do everything, in order: what was looked at, what came of it, and 0, ``WRONG`` or ``UNKNOWN``."""
    for lock in LOCKS:
        loose, count = unpinned(lock), len(list(package.locked(lock)))
        yield f"pins of {lock.name}", f"{count - len(loose)} of {count} by version and hash", WRONG if loose else 0
    for lock in LOCKS:
        said, code = ("NOT CHECKED: --offline", 0) if offline else looked_up(lock, folder)
        yield f"advisories, {lock.name}", said, code
    one = package.build(package.ROOT, scratch, package.HERE)
    two = package.build(one.tree, scratch, package.ELSEWHERE)
    three = package.again(scratch / "again", one.sdist)
    for name, digest in one.sums.items():
        same = digest == two.sums[name] == three.sums[name]
        yield name, f"{digest}, {'three builds agree' if same else 'BUILDS DIFFER'}", 0 if same else WRONG
    stray = package.strays(one.tree, one.wheel)
    yield (
        "content of the wheel",
        ", ".join(stray) or "the package, its pages, its type marker",
        WRONG if stray else 0,
    )
    yield from _installed(scratch, one)


def _installed(scratch: Path, built: package.Built) -> Iterator[tuple[str, str, int]]:
    python = package.install(scratch, built.wheel, LOCKS[0])
    version = package.quietly([str(python.with_name("modelward")), "--version"])
    modules = package.quietly([str(python), "-c", IMPORT_ALL])
    yield "installed", f"{version.strip()}; {modules.strip()} modules load", 0
    bill = materials(python, built.wheel, LOCKS[0])
    unknown = unlicensed(bill)
    DIST.mkdir(exist_ok=True)
    made = [DIST / "sbom.json", *(DIST / path.name for path in (built.wheel, built.sdist))]
    made[0].write_text(json.dumps(bill, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    for path, target in zip((built.wheel, built.sdist), made[1:], strict=True):
        copyfile(path, target)
    lines = [f"{sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in made]
    (DIST / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")
    names = f"; NO LICENCE KNOWN: {', '.join(unknown)}" if unknown else ""
    yield "dist/sbom.json", f"{len(bill['components'])} components{names}", WRONG if unknown else 0


def main() -> int:
    """Check and make everything. The exit code is 0, 1 (something is wrong) or 4 (advisories are not known)."""
    parser = argparse.ArgumentParser(prog="make supply", description=__doc__)
    parser.add_argument("--offline", action="store_true", help="do not ask the advisory service, and say so")
    parser.add_argument(
        "--advisories", type=Path, metavar="FOLDER", help="look them up in this copy of the PyPA database"
    )
    chosen = parser.parse_args()
    if chosen.advisories is not None:
        try:
            newest(chosen.advisories)
        except LookupError as error:
            parser.error(str(error))
    codes = []
    with tempfile.TemporaryDirectory() as scratch:
        for what, said, code in checks(Path(scratch), offline=chosen.offline, folder=chosen.advisories):
            sys.stdout.write(f"{'ok ' if code == 0 else '???' if code == UNKNOWN else 'BAD'} {what}: {said}\n")
            sys.stdout.flush()
            codes.append(code)
    return WRONG if WRONG in codes else max(codes)


if __name__ == "__main__":
    sys.exit(main())
