"""Templates become bytes: Jinja2 with escaping always on, loaded with the first page that is asked for."""

import threading
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING

from modelward.web import words

if TYPE_CHECKING:
    from jinja2 import Environment

HTML = "text/html; charset=utf-8"
_COMPILING = threading.Lock()


@cache
def environment() -> "Environment":
    """The one set of templates, each compiled when it is first used."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    made = Environment(
        loader=PackageLoader("modelward.web"),
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
