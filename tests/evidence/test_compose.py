"""Compose files as people write them, and files that are none."""

import json
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelward.domain.cause import Kind
from modelward.domain.diagnose_scene import diagnose_scene
from modelward.domain.errors import BadSetting
from modelward.domain.scene import Definition, Mount, Scene
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


FIRST_USERS = """
x-environment: &environment {OLLAMA_HOST: ollama}
services:
  ollama:
    image: ollama/ollama:latest
    environment:
      <<: *environment
    volumes:
      - ollama_models:/root/.ollama
volumes:
  ollama_models:
"""
CORE = FIRST_USERS.replace("<<: *environment\n", "<<: *environment\n      OLLAMA_MODELS: /root/.ollama\n")


def test_the_first_users_two_files(tmp_path: Path) -> None:
    """One volume at one place, and OLLAMA_MODELS in one of them only: the store is lost and found by turns."""
    files = [*read(tmp_path, FIRST_USERS), *read(tmp_path, CORE, "docker-compose-core.yml")]
    scene = Scene(store="/s", folder=(1, 2), definitions=tuple(files))
    (cause,) = diagnose_scene(scene)
    assert (cause.kind, cause.thing) == (Kind.TWO_DEFINITIONS, "rag_ollama_models")
    assert "docker-compose.yml: service ollama: no OLLAMA_MODELS" in cause.evidence[0]
    assert "docker-compose-core.yml: service ollama: OLLAMA_MODELS=/root/.ollama" in cause.evidence[1]
    same = [*read(tmp_path, FIRST_USERS), *read(tmp_path, FIRST_USERS, "docker-compose-minimal.yml")]
    assert diagnose_scene(msgspec.structs.replace(scene, definitions=tuple(same))) == ()


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


def one(tmp_path: Path, service: str, more: str = "", **environ: str) -> Definition:
    """The one server of a file with one service, given as lines of YAML."""
    lines = "".join(f"    {line}\n" for line in service.splitlines())
    return only(read(tmp_path, f"services:\n  ollama:\n{lines}{more}", **({"HOME": "/home/ann"} | environ)))


@pytest.mark.parametrize("environment", ["[OLLAMA_MODELS]", "{OLLAMA_MODELS: }"])
def test_a_name_without_a_value_takes_the_shells(tmp_path: Path, environment: str) -> None:
    """As Compose does; without one in the shell the default holds."""
    service = f"image: ollama/ollama\nenvironment: {environment}"
    assert one(tmp_path, service, OLLAMA_MODELS="/shell").store == "/shell"
    assert one(tmp_path, service).store == "/root/.ollama/models"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${PLACE}", "/set"),
        ("$PLACE/in", "/set/in"),
        ("${NONE:-/else}", "/else"),
        ("${EMPTY-/else}", "/root/.ollama/models"),
        ("${PLACE:-/else}", "/set"),
        ("${PLACE:?must be set}", "/set"),
        ("${PLACE:+/other}", "/other"),
        ("/a$$b", "/a$b"),
        ("${FILE}", "/dotenv"),
    ],
)
def test_variables(tmp_path: Path, text: str, expected: str) -> None:
    """They come from the shell, then from ``.env`` beside the file, then from their default."""
    (tmp_path / "rag").mkdir()
    (tmp_path / "rag" / ".env").write_text("# no=1\nFILE='/dotenv'\nexport PLACE=/from/file\n")
    service = f"image: ollama/ollama\nenvironment:\n  OLLAMA_MODELS: {text!r}"
    assert one(tmp_path, service, PLACE="/set", EMPTY="").store == expected


@pytest.mark.parametrize(
    ("volume", "source"),
    [
        ("models:/root/.ollama", "rag_models"),
        ("models:/root/.ollama:ro", "rag_models"),
        ("/srv/o/:/root/.ollama/", "/srv/o"),
        ("~/o:/root/.ollama", "/home/ann/o"),
        ("${NAME:-models}:/root/.ollama", "rag_models"),
        ("{type: volume, source: models, target: /root/.ollama}", "rag_models"),
        ("{type: bind, source: /srv/o, target: /root/.ollama}", "/srv/o"),
    ],
)
def test_volumes(tmp_path: Path, volume: str, source: str) -> None:
    """Short and long, named and bound; a named one belongs to the project."""
    found = one(tmp_path, f"image: ollama/ollama\nvolumes:\n  - {volume}")
    assert found.mounts == (Mount(source=source, target="/root/.ollama"),)


@pytest.mark.parametrize(
    ("more", "environ", "source"),
    [
        ("name: other\n", {}, "other_models"),
        ("name: other\n", {"COMPOSE_PROJECT_NAME": "shell"}, "shell_models"),
        ("volumes: {models: {external: true}}\n", {}, "models"),
        ("volumes: {models: {name: shared}}\n", {}, "shared"),
        ("volumes: {models: }\n", {}, "rag_models"),
    ],
)
def test_what_docker_calls_a_volume(tmp_path: Path, more: str, environ: dict[str, str], source: str) -> None:
    """A project's name can be given, and so can the volume's own."""
    found = one(tmp_path, "image: ollama/ollama\nvolumes: ['models:/root/.ollama']", more, **environ)
    assert found.mounts[0].source == source


def test_which_services_are_servers(tmp_path: Path) -> None:
    """By image, by command, or by what is set; clients of a server are none."""
    found = read(
        tmp_path,
        """
services:
  digest: {image: 'ollama/ollama@sha256:00'}
  mirror: {image: 'registry.example/ollama/ollama:0.24.0'}
  variable: {image: '${IMAGE}'}
  command: {build: ., command: ollama serve}
  listed: {build: ., entrypoint: [ollama, serve]}
  models: {build: ., environment: [OLLAMA_MODELS=/m]}
  web: {image: webui, environment: [OLLAMA_HOST=ollama]}
  nothing:
""",
        IMAGE="ollama/ollama:rocm",
    )
    names = [seen.where.rpartition(" ")[2] for seen in found]
    assert names == ["digest", "mirror", "variable", "command", "listed", "models"]


@pytest.mark.parametrize("text", ["[" * 20_000, "services: {o: " + "{a: " * 500 + "}" * 501])
def test_what_is_too_deep(tmp_path: Path, text: str) -> None:
    """It is not read to its end, which would take minutes."""
    with pytest.raises(BadSetting, match="too deep"):
        read(tmp_path, text)


def test_a_bomb_of_merges(tmp_path: Path) -> None:
    """Merge keys are unfolded while the file is read: this one says so few lines, and means nine to the eleventh."""
    lines = ["m0: &m0 {k: v}"]
    lines += [f"m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 9)}]}}" for n in range(1, 12)]
    with pytest.raises(BadSetting, match="aliases"):
        read(tmp_path, "\n".join([*lines, "services: {o: *m11}"]))


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text("a:/$ {}~.-=", max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3),
    max_leaves=6,
)
services = st.fixed_dictionaries(dict.fromkeys(("image", "environment", "volumes", "command"), values))


@settings(max_examples=60, deadline=None)
@given(service=services, declared=values)
def test_any_values_are_read(
    tmp_path_factory: pytest.TempPathFactory, service: dict[str, object], declared: object
) -> None:
    """Whatever stands where a setting is expected, nothing but a definition comes of it."""
    document = {"services": {"o": service, "p": service | {"image": "ollama/ollama"}}, "volumes": declared}
    found = read(tmp_path_factory.mktemp("values"), json.dumps(document))
    assert all(seen.store for seen in found)
    assert any(seen.where.endswith("service p") for seen in found)
