"""Compose files as people write them, and files that are none."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelward.domain.errors import BadSetting
from modelward.domain.scene import Definition
from modelward.evidence.compose import definitions


def read(tmp_path: Path, text: str, name: str = "docker-compose.yml", **environ: str) -> list[Definition]:
    """The definitions in a file of the project ``rag``."""
    folder = tmp_path / "rag"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    return definitions(folder / name, environ)


def only(found: list[Definition]) -> Definition:
    """The one."""
    (definition,) = found
    return definition


LONG = """
services:
  ollama:
    image: ollama/ollama:0.24@sha256:abc
    environment:
      OLLAMA_MODELS: "${MODELS:-/data/models}"
    volumes:
      - type: volume
        source: big
        target: /data
  web:
    image: nginx
"""
SHORT = """
services:
  llm:
    image: registry.example/ollama/ollama
    environment: [OLLAMA_MODELS=$MODELS, OTHER]
    volumes: ["./here:/data:ro", "/srv/x:/y", "anonymous"]
"""
MERGED = """
x-env: &env {OLLAMA_HOST: ollama, OLLAMA_MODELS: /root/.ollama}
name: stack
services:
  ollama:
    image: ollama/ollama
    environment: {<<: *env, HOME: /root}
    volumes: [ollama_models:/root/.ollama/]
"""


def test_the_long_form(tmp_path: Path) -> None:
    """Defaults of variables, named volumes with the project's name before them, other services left out."""
    found = only(read(tmp_path, LONG))
    assert (found.models, found.where) == ("/data/models", "docker-compose.yml: service ollama")
    assert [(mount.source, mount.target) for mount in found.mounts] == [("rag_big", "/data")]
    assert only(read(tmp_path, LONG, MODELS="/other")).models == "/other"


def test_the_short_form(tmp_path: Path) -> None:
    """Lists, folders of the host, and a mount without a source left out."""
    found = only(read(tmp_path, SHORT, MODELS="/data/m"))
    assert found.models == "/data/m"
    assert [(mount.source, mount.target) for mount in found.mounts] == [
        (str(tmp_path / "rag" / "here"), "/data"),
        ("/srv/x", "/y"),
    ]


def test_anchors_and_a_name(tmp_path: Path) -> None:
    """Merge keys as in the first user's files; the file's own project name."""
    found = only(read(tmp_path, MERGED))
    assert (found.models, found.mounts[0].source, found.inside) == ("/root/.ollama", "stack_ollama_models", "")


def test_values_of_a_dotenv_file(tmp_path: Path) -> None:
    """As docker compose reads it; the environment wins."""
    (tmp_path / "rag").mkdir()
    (tmp_path / "rag/.env").write_text("# x\nexport MODELS='/from/env'\n")
    assert only(read(tmp_path, SHORT)).models == "/from/env"
    assert only(read(tmp_path, SHORT, MODELS="/mine")).models == "/mine"


@pytest.mark.parametrize(
    "text", ["", "[]", "services: 7", "a: [", "a: &a [*a]", "\t", "services:\n  x: !!python/object/apply:os.system [x]"]
)
def test_files_that_are_none(tmp_path: Path, text: str) -> None:
    """A setting's error, and nothing is run."""
    with pytest.raises(BadSetting) as caught:
        read(tmp_path, text)
    assert "--compose" in caught.value.next_step


def test_a_bomb_of_aliases(tmp_path: Path) -> None:
    """It is not unfolded."""
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 40)]
    with pytest.raises(BadSetting, match="aliases"):
        read(tmp_path, "\n".join(lines))


@pytest.mark.parametrize("what", ["missing", "folder", "large"])
def test_what_is_no_file(tmp_path: Path, what: str) -> None:
    """Said as such."""
    path = tmp_path / "x.yml"
    if what == "folder":
        path.mkdir()
    elif what == "large":
        path.write_bytes(b" " * (2 << 20))
    with pytest.raises(BadSetting):
        definitions(path, {})


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200))
def test_any_text(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """Definitions, or a setting's error: nothing else."""
    path = tmp_path_factory.mktemp("compose") / "c.yml"
    path.write_text(text, encoding="utf-8", errors="replace")
    with suppress(BadSetting):
        assert isinstance(definitions(path, {}), list)
