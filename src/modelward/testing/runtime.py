"""A runtime that does nothing: the base of scripted ones, which answer what their test is about."""

from collections.abc import Iterator, Mapping

from modelward.domain.digest import Digest
from modelward.domain.errors import RuntimeRefused
from modelward.domain.runtime import ModelCard, ProbeResult, PullStep, ServedModel


class IdleRuntime:
    """Answers, serves no model, and refuses whatever would change something."""

    url = "http://127.0.0.1:11434"

    def version(self) -> str:
        """Any version."""
        return "0.24.0"

    def tags(self) -> tuple[ServedModel, ...]:
        """No models."""
        return ()

    def loaded(self) -> tuple[str, ...]:
        """No models."""
        return ()

    def busy(self) -> tuple[str, ...]:
        """No models."""
        return ()

    def unload(self, name: str) -> None:
        """Nothing is in memory."""

    def show(self, name: str) -> ModelCard:
        """Refuse."""
        raise _refused(name)

    def pull(self, name: str, *, insecure: bool = False) -> Iterator[PullStep]:  # noqa: ARG002 - the port's
        """Refuse."""
        raise _refused(name)

    def probe(self, name: str, *, seconds: float) -> ProbeResult:  # noqa: ARG002 - the port's
        """Refused."""
        return ProbeResult(outcome="refused", seconds=0.0, why=f"no model {name}")

    def create(self, name: str, files: Mapping[str, Digest]) -> None:  # noqa: ARG002 - the port's
        """Refuse."""
        raise _refused(name)

    def copy(self, source: str, target: str) -> None:  # noqa: ARG002 - the port's
        """Refuse."""
        raise _refused(source)

    def delete(self, name: str) -> None:
        """Refuse."""
        raise _refused(name)


def _refused(name: str) -> RuntimeRefused:
    return RuntimeRefused("no such model", thing=name, next_step="script the runtime of this test")
