"""The files for containers, read as the tests need them."""

import re
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
_VARIABLE = re.compile(r"\$\{\w+(?::[-?]([^}]*))?\}")


def compose() -> dict[str, Any]:
    """The Compose file, with the default of every variable in its place."""
    filled = _VARIABLE.sub(lambda found: found[1] or "", (DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    document = yaml.safe_load(filled)
    assert isinstance(document, dict)
    return document


def services() -> dict[str, dict[str, Any]]:
    """The services of the Compose file, by name."""
    found: dict[str, dict[str, Any]] = compose()["services"]
    return found


def kubernetes() -> dict[str, dict[str, Any]]:
    """The objects of the Kubernetes manifest, by kind."""
    text = (DEPLOY / "kubernetes" / "modelward.yaml").read_text(encoding="utf-8")
    documents = [document for document in yaml.safe_load_all(text) if document]
    return {document["kind"]: document for document in documents}


def pod() -> dict[str, Any]:
    """The Pod of the manifest."""
    found: dict[str, Any] = kubernetes()["StatefulSet"]["spec"]["template"]["spec"]
    return found


def script(test: list[str]) -> str:
    """The shell script of a check ``[CMD, bash, -c, SCRIPT]``, as bash gets it from Compose."""
    assert test[:-1] in (["CMD", "bash", "-c"], ["bash", "-c"])
    return test[-1].replace("$$", "$")
