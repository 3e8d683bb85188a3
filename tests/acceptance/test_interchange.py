"""Other people's tools take what is handed out, and what they make is taken in: skopeo and Ollama itself."""

import json
import shutil
from pathlib import Path

import pytest

from modelward.domain.name import ModelName
from modelward.services.adopt import adopt
from modelward.services.backup import backup
from modelward.services.hand_out import hand_out
from modelward.services.restore import restore
from modelward.testing import FakeStore, fingerprint, tiny_gguf
from tests.models import pattern
from tests.ollama_server import OllamaServer
from tests.places import Place
from tests.vault.test_skopeo import sha256, skopeo

MIB = 1 << 20
LLAMA, TINY = ModelName.parse("llama3"), ModelName.parse("tiny:v1")


@pytest.mark.registry
@pytest.mark.skipif(shutil.which("skopeo") is None, reason="no skopeo on PATH")
def test_skopeo_reads_an_exported_layout_and_its_copy_is_imported(tmp_path: Path) -> None:
    """Handed out, copied by skopeo into a folder and another layout, taken in there: the same wrapper and model."""
    here, there = Place(tmp_path / "here"), Place(tmp_path / "there")
    layout, copied = tmp_path / "layout", tmp_path / "copied"
    FakeStore(here.store).add_model("llama3", pattern(2 * MIB + 5), template=b"{{ .Prompt }}", system=b"")
    FakeStore(there.store)
    backup(here.site(), ())
    wrapper = here.site().the_vault().snapshots()[0].wrapper
    report = hand_out(here.site(), LLAMA, "", layout, "oci")
    named = f"oci:{layout}:{report.reference}"
    assert sha256(skopeo("inspect", "--raw", named)) == str(wrapper)
    skopeo("copy", named, f"dir:{tmp_path / 'dir'}")
    skopeo("copy", named, f"oci:{copied}:llama3")
    taken = adopt(there.site(), copied, "oci")
    assert [(one.name, one.outcome) for one in taken.models] == [(LLAMA, "stored")]
    assert there.site().the_vault().snapshots()[0].wrapper == wrapper
    assert restore(there.site(), LLAMA, accepted=True).exit_code == 0
    assert fingerprint(there.store, ignore=".modelward") == fingerprint(here.store, ignore=".modelward")


class ServedPlace(Place):
    """A place whose store is the server's."""

    @property
    def store(self) -> Path:
        """The server's own."""
        return self.base / "models"


@pytest.fixture
def served(ollama_server: OllamaServer, tmp_path: Path) -> Place:
    """The store that the running server serves, which is empty."""
    assert ollama_server.run("list").returncode == 0
    return ServedPlace(tmp_path)


@pytest.mark.ollama
def test_ollama_runs_an_imported_gguf(ollama_server: OllamaServer, served: Place, tmp_path: Path) -> None:
    """A downloaded GGUF: taken in, restored into the running server's store, listed with its details, answers."""
    path = tmp_path / "tiny.gguf"
    path.write_bytes(tiny_gguf(at_least_bytes=3 * MIB))
    assert adopt(served.site(), path, "gguf", TINY).exit_code == 0
    assert restore(served.site(), TINY, accepted=True).exit_code == 0
    listed = ollama_server.run("list").stdout
    print(listed)
    assert "tiny:v1" in listed
    answer = ollama_server.generate("tiny:v1")
    (tmp_path / "Modelfile").write_text(f"FROM {path}\n")
    assert ollama_server.run("create", "made", "-f", str(tmp_path / "Modelfile")).returncode == 0
    assert ollama_server.generate("made") == answer
    ours, theirs = (details(ollama_server, name) for name in ("tiny:v1", "made"))
    print(ours)
    for key in ("format", "family", "families", "parameter_size"):
        assert ours[key] == theirs[key]


def details(server: OllamaServer, name: str) -> dict[str, object]:
    """What the server says of a model."""
    status, shown = server.ask("/api/show", {"model": name})
    assert status == 200
    assert isinstance(shown, dict)
    return dict(shown["details"])


@pytest.mark.ollama
def test_ollama_makes_a_model_of_loose_files(ollama_server: OllamaServer, served: Place, tmp_path: Path) -> None:
    """Handed out as loose files, made again by ``ollama create``: the same weights, texts and parameters."""
    params = {"temperature": 0, "stop": ["<|end|>", "two\nlines"]}
    FakeStore(served.store).add_model(
        "llama3",
        tiny_gguf(),
        template=b'{{ .System }} says "{{ .Prompt }}":\n',
        params=json.dumps(params).encode(),
        system=b"be brief",
        license=b"free",
    )
    backup(served.site(), ())
    report = hand_out(served.site(), LLAMA, "", tmp_path / "loose", "gguf")
    modelfile = tmp_path / "loose" / report.reference
    print(modelfile.read_text())
    made = ollama_server.run("create", "again", "-f", str(modelfile))
    assert made.returncode == 0, made.stderr
    ours, theirs = (layers_of(served, name) for name in ("llama3", "again"))
    for kind in ("model", "template", "system", "license"):
        assert ours[f"application/vnd.ollama.image.{kind}"] == theirs[f"application/vnd.ollama.image.{kind}"]
    key = "application/vnd.ollama.image.params"
    again = (served.store / "blobs" / theirs[key].replace(":", "-")).read_bytes()
    assert json.loads(again) == params


def layers_of(place: Place, name: str) -> dict[str, str]:
    """The layers that a manifest names: digest by media type."""
    document = json.loads(FakeStore(place.store).manifest_path(name).read_bytes())
    return {layer["mediaType"]: layer["digest"] for layer in document["layers"]}
