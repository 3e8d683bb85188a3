"""The fake server answers from its store's files as Ollama does, so that a test of it is worth something."""

import hashlib
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelward.testing import FakeOllama, FakeStore

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeOllama]:
    """A server with one model, and another one upstream."""
    FakeStore(tmp_path / "models").add_model("llama3", b"weights", template=b"shared")
    FakeStore(tmp_path / "upstream").add_model("me/new:1", b"new", template=b"shared")
    with FakeOllama(tmp_path / "models", tmp_path / "upstream").running() as fake:
        yield fake


def ask(fake: FakeOllama, path: str, body: object = None, method: str = "") -> tuple[int, list[dict[str, object]]]:
    """Status, and the lines of the answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(  # noqa: S310 - always http on loopback
        fake.url + path, data=data, method=method or ("GET" if body is None else "POST")
    )
    try:
        with OPENER.open(request, timeout=10) as answer:
            return answer.status, [json.loads(line) for line in answer.read().splitlines()]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, [json.loads(line) for line in error.read().splitlines()]


def test_names_are_listed_as_ollama_lists_them(fake: FakeOllama) -> None:
    """The default host and namespace are left out; under another host both are written."""
    store = FakeStore(fake.models)
    store.add_model("me/other:2", b"o")
    store.add_model("localhost:5000/library/far", b"f")
    names = [model["name"] for model in fake.tags()]
    assert names == ["localhost:5000/library/far:latest", "llama3:latest", "me/other:2"]


def test_a_pull_copies_what_is_missing(fake: FakeOllama) -> None:
    """Exact bytes, progress of each blob, success at the end."""
    status, lines = ask(fake, "/api/pull", {"model": "me/new:1"})
    assert (status, lines[0], lines[-1]) == (200, {"status": "pulling manifest"}, {"status": "success"})
    mine, theirs = FakeStore(fake.models), FakeStore(fake.registry or fake.models)
    assert mine.manifest_path("me/new:1").read_bytes() == theirs.manifest_path("me/new:1").read_bytes()
    assert mine.blob_path(hashlib.sha256(b"new").hexdigest()).read_bytes() == b"new"


def test_a_pull_takes_a_file_that_is_there_for_good(fake: FakeOllama) -> None:
    """The rule that makes us necessary: a name is believed, success is said."""
    path = FakeStore(fake.models).blob_path(hashlib.sha256(b"new").hexdigest())
    path.write_bytes(b"bad")
    assert ask(fake, "/api/pull", {"model": "me/new:1"})[1][-1] == {"status": "success"}
    assert path.read_bytes() == b"bad"


def test_a_pull_proves_what_it_copied(fake: FakeOllama) -> None:
    """Wrong bytes from upstream are removed, and no manifest is written."""
    digest = hashlib.sha256(b"new").hexdigest()
    FakeStore(fake.registry or fake.models).blob_path(digest).write_bytes(b"bad")
    status, lines = ask(fake, "/api/pull", {"model": "me/new:1"})
    assert status == 200
    assert "digest mismatch" in str(lines[-1]["error"])
    assert not FakeStore(fake.models).blob_path(digest).exists()
    assert not FakeStore(fake.models).manifest_path("me/new:1").exists()


def test_without_upstream_there_is_nothing_to_pull(fake: FakeOllama) -> None:
    """An error line under status 200, as from Ollama."""
    fake.registry = None
    status, lines = ask(fake, "/api/pull", {"model": "me/new:1"})
    assert (status, lines[-1]) == (200, {"error": "pull model manifest: file does not exist"})


def test_delete_drops_what_no_other_model_needs(fake: FakeOllama) -> None:
    """Shared blobs stay."""
    store = FakeStore(fake.models)
    info = store.add_model("second", b"second", template=b"shared")
    assert ask(fake, "/api/delete", {"model": "second"}, "DELETE") == (200, [])
    assert not store.manifest_path("second").exists()
    assert not store.blob_path(info.layers[0]).exists()
    assert store.blob_path(info.layers[1]).read_bytes() == b"shared"


def test_show_needs_the_weights(fake: FakeOllama) -> None:
    """A model without its weights is listed and not shown."""
    status, lines = ask(fake, "/api/show", {"model": "llama3"})
    weights = FakeStore(fake.models).blob_path(hashlib.sha256(b"weights").hexdigest())
    assert status == 200
    assert f"\nFROM {weights}\n" in str(lines[0]["modelfile"])
    weights.unlink()
    assert ask(fake, "/api/show", {"model": "llama3"}) == (404, [{"error": "model 'llama3' not found"}])
    assert [model["name"] for model in fake.tags()] == ["llama3:latest"]


def test_a_cloud_model_names_its_host(fake: FakeOllama) -> None:
    """It has no file, so its modelfile names none."""
    FakeStore(fake.models).add_cloud_model("far", "https://example.com", "far:big")
    shown = ask(fake, "/api/show", {"model": "far"})[1][0]
    assert shown["remote_host"] == "https://example.com"
    assert "\nFROM far:latest\n" in str(shown["modelfile"])


def test_a_fault_may_last_a_number_of_times(fake: FakeOllama) -> None:
    """Behind it the path answers as before."""
    fake.fail("/api/tags", "status 500", times=2)
    assert [ask(fake, "/api/tags")[0] for _ in range(3)] == [500, 500, 200]


def test_a_script_says_its_lines_and_does_nothing(fake: FakeOllama) -> None:
    """Any lines, as often as they are asked for; an empty script ends that."""
    script: list[dict[str, object]] = [{"status": "one"}, {"error": "two"}]
    fake.script("/api/pull", script)
    assert ask(fake, "/api/pull", {"model": "me/new:1"}) == (200, script)
    assert ask(fake, "/api/pull", {"model": "me/new:1"}) == (200, script)
    assert not FakeStore(fake.models).manifest_path("me/new:1").exists()
    fake.script("/api/pull", [])
    assert ask(fake, "/api/pull", {"model": "me/new:1"})[1][-1] == {"status": "success"}
