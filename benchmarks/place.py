"""The store that is measured on: one big model, or thousands of small ones, laid out as Ollama does it."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.measure import Sample, run
from modelward.testing import FakeStore

PIECE = 8 << 20


class Place:
    """Folders below one scratch folder, and the program on them."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.store, self.vault = base / "store", base / "vault"

    def make_big(self, size: int) -> Path:
        """A model whose weights are ``size`` random bytes; returns the weights' file."""
        fake = FakeStore(self.store)
        fake.add_model("llama3", b"weights to be", template=b"{{ .Prompt }}")
        path = self.base / "weights"
        sha = hashlib.sha256()
        with path.open("wb") as file:
            for offset in range(0, size, PIECE):
                piece = os.urandom(min(PIECE, size - offset))
                sha.update(piece)
                file.write(piece)
        manifest = fake.manifest_path("llama3")
        document = json.loads(manifest.read_bytes())
        document["layers"][0] |= {"digest": f"sha256:{sha.hexdigest()}", "size": size}
        manifest.write_text(json.dumps(document, separators=(",", ":")))
        target = fake.blob_path(sha.hexdigest())
        path.rename(target)
        target.chmod(0o644)
        return target

    def make_many(self, models: int, blobs: int) -> None:
        """Many models of a few hundred bytes a blob."""
        fake = FakeStore(self.store)
        for number in range(models):
            layers = [os.urandom(100) for _ in range(blobs // models - 1)]
            fake.add_model(f"m{number}", layers, template=b"{{ .Prompt }}")

    def modelward(self, *words: str, okay: tuple[int, ...] = (0,)) -> Sample:
        """Run the program as a whole process."""
        environ = {
            "MODELWARD_STORE": str(self.store),
            "MODELWARD_VAULT": str(self.vault),
            "OLLAMA_HOST": "127.0.0.1:9",
        }
        return run([sys.executable, "-m", "modelward", *words], environ=environ, okay=okay)

    def document(self, *words: str) -> dict[str, object]:
        """The JSON document of one run."""
        environ = {**os.environ, "MODELWARD_STORE": str(self.store), "MODELWARD_VAULT": str(self.vault)}
        done = subprocess.run(
            [sys.executable, "-m", "modelward", *words, "--json"],
            env=environ | {"OLLAMA_HOST": "127.0.0.1:9"},
            capture_output=True,
            check=False,
        )
        return dict(json.loads(done.stdout))

    def forget_vault(self) -> None:
        """No vault any more, and the disk at rest."""
        shutil.rmtree(self.vault, ignore_errors=True)
        subprocess.run(["sync", "-f", str(self.base)], check=True)


@contextmanager
def loop_mount(kind: str, base: Path, size: int) -> Iterator[Path | None]:
    """A file system of this kind on a loop device; None where it cannot be had."""
    image, point = base / f"{kind}.img", base / kind
    point.mkdir()
    try:
        if os.geteuid() != 0 or shutil.which(f"mkfs.{kind}") is None:
            yield None
            return
        with image.open("wb") as file:
            file.truncate(size)
        subprocess.run([f"mkfs.{kind}", "-q", str(image)], check=True, capture_output=True)
        subprocess.run(["mount", "-o", "loop", str(image), str(point)], check=True, capture_output=True)
        try:
            yield point
        finally:
            subprocess.run(["umount", "-l", str(point)], check=True)
    finally:
        image.unlink(missing_ok=True)
        point.rmdir()
