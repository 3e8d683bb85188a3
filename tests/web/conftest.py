"""A guard's insides and a server with pages before them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from modelward.client import Client
from tests.api.stage import client
from tests.web.ground import Paged, made


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Paged]:
    """All parts over a store with two models that nobody has looked at yet."""
    found = made(tmp_path)
    yield found
    found.close()


@pytest.fixture
def anyone(stage: Paged) -> Iterator[Client]:
    """A caller without a token, after the first look at the store."""
    stage.look()
    with stage.serving() as server:
        yield client(server)
