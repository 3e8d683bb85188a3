"""A fake store is what Ollama would have written."""

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelward.testing import FakeStore, fingerprint, tiny_gguf
from tests.ollama_server import OllamaServer
from tests.strategies import FILE_NAME, model_names

TYPE = "application/vnd.ollama.image."
SEED = b'{"seed":1}'


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    """An empty store."""
    return FakeStore(tmp_path / "models")


@pytest.fixture
def _strict_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


def sha256(data: bytes) -> str:
    """The SHA-256 of the bytes as hex."""
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    ("name", "path", "full"),
    [
        ("llama3", "registry.ollama.ai/library/llama3/latest", "registry.ollama.ai/library/llama3:latest"),
        ("user/m:tag", "registry.ollama.ai/user/m/tag", "registry.ollama.ai/user/m:tag"),
        ("hf.co/u/r:Q4_K_M", "hf.co/u/r/Q4_K_M", "hf.co/u/r:Q4_K_M"),
        ("localhost:5000/ns/m:t", "localhost:5000/ns/m/t", "localhost:5000/ns/m:t"),
        ("localhost:5000/ns/m", "localhost:5000/ns/m/latest", "localhost:5000/ns/m:latest"),
    ],
)
def test_names_are_read_as_ollama_reads_them(store: FakeStore, name: str, path: str, full: str) -> None:
    """Host, namespace and tag have defaults, and a host may have a port."""
    info = store.add_model(name, b"weights")
    assert info.path == store.root / "manifests" / path == store.manifest_path(name)
    assert info.name == full
    assert store.models() == (full,)


@pytest.mark.parametrize("name", ["", "a/b/c/d", "/m", "a//m"])
def test_what_is_no_name_is_refused(store: FakeStore, name: str) -> None:
    """A name without a model, or with too many parts, is the test's mistake."""
    with pytest.raises(ValueError, match="model"):
        store.manifest_path(name)


@settings(deadline=None)
@given(name=model_names(FILE_NAME))
def test_full_names_survive_the_disk(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    """Every full name that Ollama allows comes back from the folders that it is made into."""
    store = FakeStore(tmp_path_factory.mktemp("store"))
    assert store.add_model(name, b"w").name == name
    assert store.models() == (name,)


def test_manifest_is_a_docker_manifest(store: FakeStore) -> None:
    """The manifest names the config and each layer by type, digest and size, compact and without a newline."""
    info = store.add_model(
        "llama3", b"weights", template=b"{{ .Prompt }}", system=b"be brief", license=b"MIT", params=SEED
    )
    assert info.raw == info.path.read_bytes()
    assert info.digest == sha256(info.raw)
    document = json.loads(info.raw)
    assert list(document) == ["schemaVersion", "mediaType", "config", "layers"]
    assert document["schemaVersion"] == 2
    assert document["mediaType"] == "application/vnd.docker.distribution.manifest.v2+json"
    assert document["config"]["mediaType"] == "application/vnd.docker.container.image.v1+json"
    assert document["layers"] == [
        {"mediaType": f"{TYPE}model", "digest": f"sha256:{sha256(b'weights')}", "size": 7},
        {"mediaType": f"{TYPE}template", "digest": f"sha256:{sha256(b'{{ .Prompt }}')}", "size": 13},
        {"mediaType": f"{TYPE}system", "digest": f"sha256:{sha256(b'be brief')}", "size": 8},
        {"mediaType": f"{TYPE}license", "digest": f"sha256:{sha256(b'MIT')}", "size": 3},
        {"mediaType": f"{TYPE}params", "digest": f"sha256:{sha256(SEED)}", "size": 10},
    ]
    assert info.raw == json.dumps(document, separators=(",", ":")).encode()


def test_every_named_blob_is_there(store: FakeStore) -> None:
    """Each blob lies under its own digest with the size that the manifest says."""
    info = store.add_model("llama3", b"weights", template=b"t")
    document = json.loads(info.raw)
    for layer in (document["config"], *document["layers"]):
        data = store.blob_path(layer["digest"].removeprefix("sha256:")).read_bytes()
        assert (f"sha256:{sha256(data)}", len(data)) == (layer["digest"], layer["size"])
    assert {path.name for path in (store.root / "blobs").iterdir()} == {f"sha256-{blob}" for blob in info.blobs}


def test_config_says_what_the_model_is(store: FakeStore) -> None:
    """The config has Ollama's keys and names the layers."""
    info = store.add_model("llama3", b"weights")
    config = json.loads(store.blob_path(info.config).read_bytes())
    assert (config["model_format"], config["model_families"]) == ("gguf", ["llama"])
    assert config["rootfs"] == {"type": "layers", "diff_ids": [f"sha256:{sha256(b'weights')}"]}


@pytest.mark.usefixtures("_strict_umask")
def test_modes_are_those_of_ollama(tmp_path: Path) -> None:
    """Files are 0644 and folders 0755, whatever the umask."""
    store = FakeStore(tmp_path / "models")
    store.add_model("hf.co/u/r:Q4_K_M", b"weights")
    store.add_partial()
    modes = {(entry.kind, entry.mode) for entry in fingerprint(store.root).values()}
    assert modes == {("file", 0o644), ("folder", 0o755)}


def test_newline_is_there_when_asked_for(store: FakeStore) -> None:
    """``ollama create`` ends a manifest with a newline, a pull does not."""
    pulled = store.add_model("pulled", b"weights")
    created = store.add_model("created", b"weights", newline=True)
    assert created.raw == pulled.raw + b"\n"


def test_several_weights_may_have_their_own_types(store: FakeStore) -> None:
    """Weights in parts are layers in this order; they are models unless it is said otherwise."""
    parts = [b"one", b"two", b"one"]
    split = store.add_model("split", parts)
    vision = store.add_model("vision", parts, media_types=["model", "projector", "adapter"])
    assert split.layers == vision.layers == tuple(sha256(part) for part in parts)
    assert len(split.blobs) == 3
    types = [[layer["mediaType"] for layer in json.loads(info.raw)["layers"]] for info in (split, vision)]
    assert types == [[f"{TYPE}model"] * 3, [f"{TYPE}model", f"{TYPE}projector", f"{TYPE}adapter"]]


def test_as_many_types_as_weights(store: FakeStore) -> None:
    """Types that do not fit the weights are the test's mistake."""
    with pytest.raises(ValueError, match="zip"):
        store.add_model("m", [b"one", b"two"], media_types=["model"])


def test_blobs_are_shared_and_not_written_again(store: FakeStore) -> None:
    """A blob that is there stays as it is, even when it is damaged: that is what Ollama does."""
    digest = store.add_blob(b"weights")
    before = store.blob_path(digest).stat()
    store.blob_path(digest).write_bytes(b"damaged")
    assert store.add_model("llama3", b"weights").layers == (digest,)
    assert store.blob_path(digest).read_bytes() == b"damaged"
    assert store.blob_path(digest).stat().st_ino == before.st_ino


def test_an_existing_store_is_taken_over(store: FakeStore) -> None:
    """A second hand on the same folder sees and keeps what the first one made."""
    store.add_model("one", b"weights")
    again = FakeStore(store.root)
    again.add_model("two", b"weights")
    assert store.models() == (
        "registry.ollama.ai/library/one:latest",
        "registry.ollama.ai/library/two:latest",
    )


def test_a_model_is_replaced_in_place(store: FakeStore) -> None:
    """A new version of a tag is written into the same manifest file; the old blobs stay."""
    old = store.add_model("llama3", b"version 1", template=b"t")
    inode = old.path.stat().st_ino
    new = store.add_model("llama3", b"2")
    assert new.path.read_bytes() == new.raw
    assert new.path.stat().st_ino == inode
    assert store.blob_path(sha256(b"version 1")).exists()


@pytest.mark.parametrize("null", [False, True])
def test_cloud_models_have_no_layers(store: FakeStore, *, null: bool) -> None:
    """A cloud model's config names the other server; its layers are an empty list or null."""
    info = store.add_cloud_model("big:cloud", "https://cloud.example:443", "big", null_layers=null)
    assert json.loads(info.raw)["layers"] == (None if null else [])
    config = json.loads(store.blob_path(info.config).read_bytes())
    assert (config["remote_host"], config["remote_model"]) == ("https://cloud.example:443", "big")
    assert info.blobs == (info.config,)


def test_tensor_models_have_named_layers(store: FakeStore) -> None:
    """Each tensor is a layer with a name and a blob of its own."""
    info = store.add_tensor_model("mlx", 300)
    layers = json.loads(info.raw)["layers"]
    assert {layer["mediaType"] for layer in layers} == {f"{TYPE}tensor"}
    assert len({layer["name"] for layer in layers}) == len(set(info.layers)) == 300


def test_partials_are_sparse_and_have_a_sidecar(store: FakeStore) -> None:
    """A stopped download has its full length, less on the disk, and a sidecar that says how far it came."""
    first, second = store.add_partial(), store.add_partial(size=100_000_000, completed=5)
    assert first != second
    path = store.root / "blobs" / f"sha256-{second}-partial"
    assert path.stat().st_size == 100_000_000
    assert path.stat().st_blocks * 512 < 1_000_000
    sidecar = json.loads(path.with_name(f"{path.name}-0").read_bytes())
    assert sidecar == {"N": 0, "Offset": 0, "Size": 100_000_000, "Completed": 5}


def test_orphans_are_blobs_without_a_manifest(store: FakeStore) -> None:
    """An orphan is a good blob; no model is added."""
    digest = store.add_orphan(b"nobody's")
    assert store.blob_path(digest).read_bytes() == b"nobody's"
    assert store.models() == ()


def test_manifests_of_any_bytes_can_be_written(store: FakeStore) -> None:
    """Hostile manifests are written as they are."""
    path = store.add_manifest("evil", b"\0{")
    assert path == store.manifest_path("evil")
    assert path.read_bytes() == b"\0{"


def test_losing_a_manifest_or_a_blob_loses_nothing_else(store: FakeStore) -> None:
    """Exactly the file that was named is gone."""
    info = store.add_model("llama3", b"weights", template=b"t")
    before = fingerprint(store.root)
    store.delete_manifest("llama3")
    store.delete_blob(info.layers[0])
    gone = set(before) - set(fingerprint(store.root))
    assert gone == {
        "manifests/registry.ollama.ai/library/llama3/latest",
        f"blobs/sha256-{info.layers[0]}",
    }


@settings(deadline=None, max_examples=30)
@given(weights=st.lists(st.binary(max_size=50), max_size=4), newline=st.booleans())
def test_the_same_model_is_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, weights: list[bytes], *, newline: bool
) -> None:
    """Two stores of the same models are the same in every file."""
    roots = [tmp_path_factory.mktemp("store") / name for name in ("one", "two")]
    for root in roots:
        FakeStore(root).add_model("m", weights, newline=newline)
    assert fingerprint(roots[0]) == fingerprint(roots[1])


@pytest.mark.ollama
def test_ollama_serves_it(ollama_server: OllamaServer, tmp_path: Path) -> None:
    """The real Ollama lists what was built, with the manifest's digest and the blobs' sizes, and answers with it."""
    store = FakeStore(tmp_path / "models")
    info = store.add_model("tiny", tiny_gguf(), template=b"{{ .Prompt }}", newline=True)
    store.add_model("hf.co/user/repo:Q4_K_M", tiny_gguf(), params=b'{"temperature":0}')
    store.add_cloud_model("far:cloud", "https://cloud.example:443", "far")
    store.add_tensor_model("mlx", 3)
    store.add_partial()
    status, tags = ollama_server.ask("/api/tags")
    assert (status, isinstance(tags, dict)) == (200, True)
    assert isinstance(tags, dict)
    models = {model["name"]: model for model in tags["models"]}
    assert set(models) == {"tiny:latest", "hf.co/user/repo:Q4_K_M", "far:cloud", "mlx:latest"}
    assert models["tiny:latest"]["digest"] == info.digest
    assert models["tiny:latest"]["size"] == sum(store.blob_path(blob).stat().st_size for blob in info.blobs)
    assert models["far:cloud"]["remote_host"] == "https://cloud.example:443"
    assert len(ollama_server.generate("tiny")) == 4
    assert len(ollama_server.generate("hf.co/user/repo:Q4_K_M")) == 4


@pytest.mark.ollama
def test_ollama_writes_the_same(ollama_server: OllamaServer, tmp_path: Path) -> None:
    """A model that ``ollama create`` makes and a fake one have the same blobs, modes, keys and types."""
    model = tiny_gguf()
    (tmp_path / "tiny.gguf").write_bytes(model)
    modelfile = 'FROM ./tiny.gguf\nTEMPLATE "{{ .Prompt }}"\nSYSTEM brief\nLICENSE none\nPARAMETER seed 1\n'
    (tmp_path / "Modelfile").write_text(modelfile, encoding="utf-8")
    assert ollama_server.run("create", "tiny", "-f", "Modelfile", cwd=tmp_path).returncode == 0
    fake = FakeStore(tmp_path / "fake")
    fake.add_model(
        "tiny", model, template=b"{{ .Prompt }}", system=b"brief", license=b"none", params=b'{"seed":1}\n', newline=True
    )
    real = FakeStore(tmp_path / "models")
    assert _anatomy(fake) == _anatomy(real)


def _anatomy(store: FakeStore) -> dict[str, object]:
    """What must be alike: modes by path, layers but for the place they came from, keys and the config's keys."""
    raw = store.manifest_path("tiny").read_bytes()
    document = json.loads(raw)
    config_blob = document.pop("config")
    config = store.blob_path(config_blob["digest"].removeprefix("sha256:")).read_bytes()
    for layer in document["layers"]:
        layer.pop("from", None)
    own = f"blobs/sha256-{sha256(config)}"
    return {
        "document": document,
        "keys": [list(config_blob), list(json.loads(config))],
        "ends": [raw[-1:], config[-1:]],
        "modes": {
            "config" if name == own else name: (entry.kind, oct(stat.S_IMODE(entry.mode)))
            for name, entry in fingerprint(store.root).items()
        },
    }
