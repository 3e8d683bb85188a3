"""Write a vault and a bundle in the format of this program, to be opened by every later one.

``python -m tests.compat.make [NAME]`` makes ``tests/compat/format-<n>[-NAME]`` where it is not there yet: what a
release wrote is never written again. NAME says what came to the format without a new number (``sealed``: seals and
copies). The bytes are a pattern, so that they take little room in a repository.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import msgspec

from modelward.bundles.writer import BundleFile
from modelward.domain.name import ModelName
from modelward.domain.retention import Policy
from modelward.domain.snapshot import FORMAT_VERSION, Snapshot, Trashed
from modelward.services.backup import backup
from modelward.services.export import export
from modelward.services.protect import release
from modelward.services.retention import forget
from modelward.testing import FakeStore
from modelward.vault.sealed import sealed, unsealed
from tests.places import Place

HERE = Path(__file__).resolve().parent
CHUNK = 1 << 20


def weights(version: int) -> bytes:
    """A bit more than a chunk, in a pattern."""
    return bytes(range(256)) * (CHUNK // 256) + b"version %d" % version * 10


def main(addition: str = "") -> None:
    """Make the fixture of the present format."""
    target = HERE / "-".join(filter(None, (f"format-{FORMAT_VERSION}", addition)))
    if target.exists():
        raise SystemExit(f"{target} is there: what a release wrote is kept as it is")
    with tempfile.TemporaryDirectory() as base:
        place = Place(Path(base))
        fill(place)
        # What says where it was made is left out: the lock, and what is known of that store alone.
        shutil.copytree(place.vault, target / "vault", ignore=shutil.ignore_patterns("*lock", "store-*"))
        rename_store(target / "vault")
        export(place.site(), ModelName.parse("llama3"), "", BundleFile(str(target / "llama3.bundle")))
    for path in target.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    (target / "what.json").write_text(json.dumps(what(target / "vault"), indent=1) + "\n")


def rename_store(vault: Path) -> None:
    """Let the records name a store that could be anywhere."""
    for path in (*vault.glob("modelward/snapshots/*"), *vault.glob("modelward/trash/*")):
        path.chmod(0o600)
        if path.parent.name == "snapshots":
            path.write_bytes(sealed(elsewhere(unsealed(path.read_bytes(), Snapshot))))
        else:
            trashed = unsealed(path.read_bytes(), Trashed)
            path.write_bytes(sealed(msgspec.structs.replace(trashed, snapshot=elsewhere(trashed.snapshot))))


def elsewhere(snapshot: Snapshot) -> Snapshot:
    """The record with the name of a store on no machine in particular."""
    return msgspec.structs.replace(snapshot, store="/srv/models")


def fill(place: Place) -> None:
    """Two versions of a model, one of them forgotten; a small one, released."""
    store = FakeStore(place.store)
    for version in (1, 2):
        store.add_model("llama3", weights(version), template=b"{{ .Prompt }}", license=b"none")
        store.add_model("tiny:1b", b"tiny", template=b"{{ .Prompt }}", newline=True)
        assert backup(place.site(), ()).exit_code == 0
        place.clock.advance(days=1)
    forget(place.site(), (), Policy(keep_last=1))
    release(place.site(), ModelName.parse("tiny:1b"))
    place.clock.advance(days=1)


def what(vault: Path) -> dict[str, list[str]]:
    """The files of a vault, and which objects it holds."""
    return {
        "files": sorted(str(path.relative_to(vault)) for path in vault.rglob("*") if path.is_file()),
        "objects": sorted(path.name for path in (vault / "blobs" / "sha256").iterdir()),
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
