"""The Compose file: it holds together by the rules of its specification, and shows none of the classic mistakes."""

import os
import re
import subprocess
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from modelward.config import SETTINGS
from modelward.domain.cause import Kind
from modelward.domain.diagnose_scene import diagnose_scene
from modelward.domain.scene import Scene
from modelward.evidence.compose import definitions
from scripts import reference
from tests.deploy.containers import DEPLOY, compose, kubernetes, pod, services

# The words that compose-spec allows in a service, as far as we use it.
SERVICE_KEYS = {
    "build",
    "cap_add",
    "cap_drop",
    "command",
    "depends_on",
    "entrypoint",
    "env_file",
    "environment",
    "healthcheck",
    "image",
    "init",
    "ports",
    "read_only",
    "restart",
    "security_opt",
    "stop_grace_period",
    "tmpfs",
    "user",
    "volumes",
}
HEALTH_KEYS = {"test", "interval", "timeout", "retries", "start_period", "disable"}
CONDITIONS = {"service_started", "service_healthy", "service_completed_successfully"}
OURS = ("modelward-gate", "modelward-token", "modelward")
KNOWN = {name for setting in SETTINGS for name in setting.environment}


def needs(name: str) -> dict[str, str]:
    """The services that this one waits for, each with what it waits for."""
    return {other: how["condition"] for other, how in services()[name].get("depends_on", {}).items()}


def checked(service: dict[str, Any]) -> bool:
    """Whether the service says of itself how it is."""
    return "test" in service.get("healthcheck", {})


def test_every_key_is_one_of_the_specification() -> None:
    """Nothing is misspelt: services, health checks, dependencies and the document itself hold known keys."""
    top = {key for key in compose() if not key.startswith("x-")}
    assert top == {"name", "services", "volumes"}
    for service in services().values():
        assert service.keys() <= SERVICE_KEYS
        assert service.get("healthcheck", {}).keys() <= HEALTH_KEYS
        assert service.get("restart", "no") in ("no", "unless-stopped")


def test_what_is_waited_for_exists() -> None:
    """Each dependency is a service; one that has to be healthy has a check, one that has to end is not restarted."""
    for name in services():
        for other, condition in needs(name).items():
            assert condition in CONDITIONS
            if condition == "service_healthy":
                assert checked(services()[other])
            if condition == "service_completed_successfully":
                assert services()[other]["restart"] == "no"


def test_nobody_waits_for_himself() -> None:
    """Dependencies have an order in which everything starts."""
    order: list[str] = []
    while len(order) < len(services()):
        free = [name for name in services() if name not in order and needs(name).keys() <= set(order)]
        assert free, f"a circle after {order}"
        order += free


def test_the_gate_comes_before_the_server() -> None:
    """G2: manifests are back before the start-up prune; the client waits for a server that is ready."""
    assert needs("ollama") == {"modelward-gate": "service_completed_successfully"}
    assert needs("client") == {"ollama": "service_healthy"}
    assert services()["modelward-gate"]["command"] == ["gate"]
    assert services()["modelward"]["command"] == ["guard"]
    assert services()["ollama"]["environment"]["OLLAMA_NOPRUNE"] == "1"


def test_every_service_has_an_image_and_a_check_or_none_on_purpose() -> None:
    """An image by a version that is not ``latest``, or built here; a check, or one that is switched off."""
    for service in services().values():
        image = service["image"]
        assert "build" in service or image == services()["modelward"]["image"] or re.search(r":\d", image)
        assert checked(service) or service["healthcheck"] == {"disable": True}


def test_one_store_for_all() -> None:
    """Server, gate and guard have the same OLLAMA_MODELS, on the same volume at the same place; it is said once."""
    members = [service for name, service in services().items() if name != "client"]
    assert {service["environment"]["OLLAMA_MODELS"] for service in members} == {"/root/.ollama/models"}
    stores = {volume for service in members for volume in service["volumes"] if ".ollama" in volume}
    assert stores == {"ollama:/root/.ollama"}
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    assert len(re.findall(r"^ *OLLAMA_MODELS:", text, re.MULTILINE)) == 1


def test_our_own_doctor_finds_no_fault() -> None:
    """``doctor --compose`` reads the file, sees one place for the models, and has nothing to say."""
    found = definitions(DEPLOY / "compose.yaml", {})
    assert {seen.where.rpartition(" ")[2] for seen in found} == {"ollama", *OURS}
    assert {seen.place for seen in found} == {"modelward_ollama/models"}
    scene = Scene(store="/s", folder=(1, 2), definitions=tuple(found))
    assert [cause for cause in diagnose_scene(scene) if cause.kind is Kind.TWO_DEFINITIONS] == []


def test_a_folder_of_the_host_does_as_well() -> None:
    """What .env.example offers for store and vault ends up as a mounted folder."""
    (first, *_) = definitions(DEPLOY / "compose.yaml", {"OLLAMA_VOLUME": "/srv/o", "VAULT_VOLUME": "/mnt/v"})
    assert [(mount.source, mount.target) for mount in first.mounts] == [
        ("/srv/o", "/root/.ollama"),
        ("/mnt/v", "/vault"),
        ("modelward_state", "/var/lib/modelward"),
    ]


def test_every_volume_is_declared_and_used_at_one_place() -> None:
    """No volume is used that is not declared, none declared that is not used, and none is mounted at two places."""
    mounts = {tuple(volume.split(":")) for service in services().values() for volume in service.get("volumes", [])}
    assert {source for source, *_ in mounts} == set(compose()["volumes"])
    assert len({source for source, *_ in mounts}) == len(mounts)
    assert [mount for mount in mounts if len(mount) != 2] == [], "a repair writes: nothing is mounted read-only"


def test_what_the_guard_writes_lies_on_volumes() -> None:
    """Vault and state are inside of mounts, for the guard's own file system is read-only."""
    guard = services()["modelward"]
    assert guard["read_only"] is True
    targets = [volume.split(":")[1] for volume in guard["volumes"]]
    for name in ("OLLAMA_MODELS", "MODELWARD_VAULT", "MODELWARD_STATE"):
        path = PurePosixPath(guard["environment"][name])
        assert any(path.is_relative_to(target) for target in targets)


def test_who_writes_the_store_is_one_user() -> None:
    """Server, gate and guard run as the same user; the guard gets back no more rights than healing needs."""
    assert {service["user"] for name, service in services().items() if name != "client"} == {"0:0"}
    for name in OURS:
        assert services()[name]["cap_drop"] == ["ALL"]
        assert set(services()[name]["cap_add"]) == {"CHOWN", "DAC_OVERRIDE", "FOWNER"}
        assert "no-new-privileges:true" in services()[name]["security_opt"]


def test_nothing_is_published_beyond_this_host() -> None:
    """Every port is bound to loopback: the server has no login."""
    ports = [port for service in services().values() for port in service.get("ports", [])]
    assert ports == ["127.0.0.1:11434:11434", "127.0.0.1:8484:8484"]


def test_the_server_binds_to_an_address_and_not_to_a_name() -> None:
    """OLLAMA_HOST of the clients, shared with the server, would make it listen on that name alone."""
    assert services()["ollama"]["environment"]["OLLAMA_HOST"] == "0.0.0.0:11434"
    assert services()["modelward"]["environment"]["OLLAMA_HOST"] == "http://ollama:11434"


def settings_in(text: str) -> set[str]:
    """Names of ours that a text gives a value to."""
    return set(re.findall(r"\b(MODELWARD_\w+)\s*[=:](?!//)", text))


@pytest.mark.parametrize(
    "path",
    [
        "compose.yaml",
        ".env.example",
        "Dockerfile",
        "kubernetes/modelward.yaml",
        "modelward.service",
        "modelward-gate.service",
    ],
)
def test_only_settings_that_exist(path: str) -> None:
    """An unknown MODELWARD_ name is an error of the program's; none stands in a file that we ship."""
    found = settings_in((DEPLOY / path).read_text(encoding="utf-8"))
    assert found
    assert found <= KNOWN


def test_the_example_names_what_the_file_asks_for() -> None:
    """Each variable of the Compose file stands in .env.example, set or as a comment, with the same default."""
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    asked = dict(re.findall(r"\$\{(\w+)(?::[-?]([^}]*))?\}", text))
    example = (DEPLOY / ".env.example").read_text(encoding="utf-8")
    given = dict(re.findall(r"^#?([A-Z_]+)=(.*)$", example, re.MULTILINE))
    assert asked.keys() - {"GUARD_IMAGE"} <= given.keys()
    for name in ("BASE", "OLLAMA_IMAGE", "STORE_USER", "OLLAMA_PORT", "DASHBOARD_PORT", "OLLAMA_VOLUME"):
        assert given[name] == asked[name]
    assert given["BASE_DIGEST"] == "", "a digest that nobody has looked up is none"


def test_verbs_exist() -> None:
    """What the containers and the units run are verbs of the program."""
    said = {service["command"][0] for name, service in services().items() if name in ("modelward", "modelward-gate")}
    said |= {services()["modelward"]["healthcheck"]["test"][2]}
    said |= {
        container["args"][0] for container in (*pod()["initContainers"], *pod()["containers"]) if "args" in container
    }
    said |= set(re.findall(r"exec modelward (\w+)", services()["modelward-token"]["command"][0]))
    assert said == {"gate", "guard", "health", "token"}
    assert said <= reference.commands().keys()


def test_the_token_is_made_once(tmp_path: Path) -> None:
    """The service for the first token does nothing where one is kept, and asks the program where none is."""
    (words,) = services()["modelward-token"]["command"]
    state = services()["modelward"]["environment"]["MODELWARD_STATE"]
    assert f"{state}/tokens.json" in words
    program = tmp_path / "modelward"
    program.write_text('#!/bin/sh\necho "$@"\n')
    program.chmod(0o755)
    line = words.replace(state, str(tmp_path))
    environ = {"PATH": f"{tmp_path}{os.pathsep}{os.defpath}"}

    def said() -> str:
        return subprocess.run(["sh", "-c", line], env=environ, capture_output=True, text=True, check=True).stdout

    assert said() == "token create dashboard --scope operate\n"
    (tmp_path / "tokens.json").write_text("{}")
    assert said() == ""


def test_the_pod_is_like_the_stack() -> None:
    """Gate first, then server and guard; one store for all three; no root; nothing that may be written but volumes."""
    (gate,) = pod()["initContainers"]
    server, guard = pod()["containers"]
    assert (gate["args"], guard["args"], server["name"]) == (["gate"], ["guard"], "ollama")
    assert gate["envFrom"] == server["envFrom"] == guard["envFrom"]
    assert gate["volumeMounts"] == guard["volumeMounts"]
    assert [mount for mount in server["volumeMounts"] if mount not in guard["volumeMounts"]] == []
    data = kubernetes()["ConfigMap"]["data"]
    assert PurePosixPath(data["OLLAMA_MODELS"]) == PurePosixPath(data["HOME"]) / ".ollama" / "models"
    assert pod()["securityContext"]["runAsNonRoot"] is True
    assert (
        gate["securityContext"]["readOnlyRootFilesystem"] is guard["securityContext"]["readOnlyRootFilesystem"] is True
    )
    assert kubernetes()["StatefulSet"]["spec"]["replicas"] == 1


def test_the_pods_volumes_are_there() -> None:
    """Every mount names a volume of the Pod, or a claim; every name that is referred to exists."""
    spec = kubernetes()["StatefulSet"]["spec"]
    there = {volume["name"] for volume in pod()["volumes"]}
    there |= {claim["metadata"]["name"] for claim in spec["volumeClaimTemplates"]}
    containers = (*pod()["initContainers"], *pod()["containers"])
    assert {mount["name"] for each in containers for mount in each["volumeMounts"]} == there
    names = {source["configMapRef"]["name"] for each in containers for source in each["envFrom"]}
    assert names == {kubernetes()["ConfigMap"]["metadata"]["name"]}
    assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]
    assert kubernetes()["Service"]["spec"]["selector"] == spec["selector"]["matchLabels"]
    spaces = {each["metadata"].get("namespace") for kind, each in kubernetes().items() if kind != "Namespace"}
    assert spaces == {kubernetes()["Namespace"]["metadata"]["name"]}
