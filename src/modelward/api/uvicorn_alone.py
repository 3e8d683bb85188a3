"""uvicorn's server without its command line, which nobody here uses: with click it takes 2 MB of the guard's memory."""

import sys
from importlib.util import find_spec, module_from_spec


def _without_init(name: str) -> None:
    """Have the package without its ``__init__``, which imports the command line; the modules need none of it."""
    spec = find_spec(name)
    if name not in sys.modules and spec is not None:
        sys.modules[name] = module_from_spec(spec)


_without_init("uvicorn")

from uvicorn.config import Config  # noqa: E402 - only now
from uvicorn.protocols.http.h11_impl import H11Protocol  # noqa: E402
from uvicorn.server import Server  # noqa: E402

# Its modules ask the package for these, some of them only when a server starts.
vars(sys.modules["uvicorn"]).update(Config=Config, Server=Server)

__all__ = ["Config", "H11Protocol", "Server"]
