"""The one parser for model names: four segments, each from its own allow-list (T1)."""

import re
from typing import Self

from modelward.domain.errors import BadName

DEFAULT_HOST = "registry.ollama.ai"
DEFAULT_NAMESPACE = "library"
DEFAULT_TAG = "latest"

# Ollama's own rules (types/model/name.go): the first character is alphanumeric or '_'; '.' is not for a
# namespace and ':' (a port) only for a host; 350 characters for a host, 80 for the others.
_RULES = {
    "host": re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,349}\Z"),
    "namespace": re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,79}\Z"),
    "model": re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}\Z"),
    "tag": re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}\Z"),
}


class ModelName(str):
    """A model's full name, ``host/namespace/model:tag``; a text, made from its four segments or parsed."""

    __slots__ = ()

    def __new__(cls, host: str, namespace: str, model: str, tag: str) -> Self:
        """Make it from its segments; raises BadName for one that no store may hold."""
        for (kind, rule), segment in zip(_RULES.items(), (host, namespace, model, tag), strict=True):
            if not rule.match(segment):
                raise BadName(
                    f"not a valid {kind}",
                    thing=repr(segment[:100]),
                    next_step="name models as [host/][namespace/]model[:tag]",
                )
        return super().__new__(cls, f"{host}/{namespace}/{model}:{tag}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``[host/][namespace/]model[:tag]`` with Ollama's defaults; raises BadName."""
        path, tag = _split_tag(text.strip())
        segments = path.split("/")
        if len(segments) > 3:
            raise BadName(
                "too many segments in a model name",
                thing=repr(text[:100]),
                next_step="name models as [host/][namespace/]model[:tag]",
            )
        defaults = (DEFAULT_HOST, DEFAULT_NAMESPACE)
        host, namespace, model = (*defaults[: 3 - len(segments)], *segments)
        return cls(host, namespace, model, tag)

    @property
    def parts(self) -> tuple[str, str, str, str]:
        """The four path segments of the manifest below ``manifests/``."""
        path, _, tag = self.rpartition(":")
        host, namespace, model = path.split("/")
        return (host, namespace, model, tag)

    @property
    def model(self) -> str:
        """The third segment, the model's own name."""
        return self.parts[2]

    @property
    def tag(self) -> str:
        """The last segment."""
        return self.parts[3]

    @property
    def repository(self) -> str:
        """Where registries keep it: host, namespace and model, without the tag."""
        return self.rpartition(":")[0]

    @property
    def short(self) -> str:
        """The name as ``ollama list`` shows it: without the default host and namespace."""
        host, namespace, model, tag = self.parts
        if host.casefold() != DEFAULT_HOST:
            return str(self)
        lead = "" if namespace.casefold() == DEFAULT_NAMESPACE else f"{namespace}/"
        return f"{lead}{model}:{tag}"

    @property
    def twin_key(self) -> str:
        """Equal for two names that collide on a case-insensitive file system."""
        return self.casefold()


def _split_tag(text: str) -> tuple[str, str]:
    """Cut the tag off: a colon behind the last slash starts it, any other belongs to a host's port."""
    head, colon, tail = text.rpartition(":")
    if colon and "/" not in tail:
        return head, tail
    return text, DEFAULT_TAG
