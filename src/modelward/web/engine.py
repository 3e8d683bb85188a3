"""Templates become bytes: Jinja2 with escaping always on, loaded when the guard begins to serve, or with a first page.

Compiling all of them takes half a second and 3 MB that Python never gives back, so a child process does it for the
guard, and hands over the code.
"""

import marshal
import subprocess
import sys
import threading
from contextlib import suppress
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING

from modelward.scan import signals_held
from modelward.web import words

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from typing import Any

    from jinja2 import Environment, Template

HTML = "text/html; charset=utf-8"
_COMPILING = threading.Lock()
_PATIENCE = 60.0  # seconds for a child on a machine that is very busy
_CODE: dict[str, bytes] = {}


@cache
def environment() -> "Environment":
    """The one set of templates, each made ready when it is first used."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    class Loader(PackageLoader):
        """The templates of this package; those that came compiled are not read at all."""

        def load(
            self,
            environment: Environment,
            name: str,
            globals: "MutableMapping[str, Any] | None" = None,  # noqa: A002 - Jinja's name
        ) -> "Template":
            code = _CODE.pop(name, None)
            if code is None:
                return super().load(environment, name, globals)
            ready = marshal.loads(code)  # noqa: S302 - our own child made it
            return environment.template_class.from_code(environment, ready, globals if globals is not None else {})

    made = Environment(
        loader=Loader("modelward.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )

    def moment(at: datetime | None, missing: str = "never") -> Markup | str:
        """A moment that a script may show as a time ago; without one it is a date."""
        if at is None:
            return missing
        return Markup('<time datetime="{}">{}</time>').format(words.iso(at), words.stamp(at))

    made.filters |= {"moment": moment, "size": words.size, "number": words.number, "short": words.short}
    made.globals |= {"count": words.count, "model_link": words.link}
    return made


def render(template: str, **values: object) -> bytes:
    """A page or a part of one; what cannot be written as UTF-8 is shown escaped."""
    with _COMPILING:  # several threads that compile the same template at once would cost megabytes, and win nothing
        found = environment().get_template(template)
    return found.render(**values).encode("utf-8", "backslashreplace")


def prepare() -> None:
    """Have a child process compile all templates, in a thread; pages wait for it. Where it fails, we compile."""
    held = threading.Event()
    thread = threading.Thread(target=_fetch, args=(held,), name="guard templates", daemon=True)
    with signals_held():
        thread.start()
    held.wait(1.0)


def _fetch(held: threading.Event) -> None:
    with _COMPILING:
        held.set()
        with suppress(OSError, subprocess.SubprocessError, ValueError, EOFError, TypeError):
            made = subprocess.run(
                [sys.executable, "-P", "-m", "modelward.web.engine"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=_PATIENCE,
                check=True,
            )
            _CODE.update(marshal.loads(made.stdout))  # noqa: S302 - as above
        environment()  # Jinja2 itself: the first page should not have to wait for that either


def compiled() -> bytes:
    """The code of all templates, for a process of the same Python."""
    made = environment()
    code = {}
    for name in made.list_templates():
        if made.loader is not None:
            source, path, _ = made.loader.get_source(made, name)
            code[name] = marshal.dumps(made.compile(source, name, path))
    return marshal.dumps(code)


if __name__ == "__main__":
    sys.stdout.buffer.write(compiled())
