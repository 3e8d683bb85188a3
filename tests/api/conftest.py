"""A guard's insides and a server before them, for every test of the API."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from modelward.api.server import Running
from modelward.client import Client
from modelward.domain.access import Scope
from tests.api.stage import Stage, client, made


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """All parts over a store with two models that nobody has looked at yet."""
    found = made(tmp_path)
    yield found
    found.close()


@pytest.fixture
def running(stage: Stage) -> Iterator[Running]:
    """The server, after the first look at the store."""
    stage.look()
    with stage.serving() as server:
        yield server


@pytest.fixture
def anyone(running: Running) -> Client:
    """A caller without a token."""
    return client(running)


@pytest.fixture
def admin(stage: Stage, running: Running) -> Client:
    """A caller who may do everything; from then on a token is demanded."""
    return client(running, stage.token(Scope.ADMIN))
