"""Read the plain words of verbs that must start fast or stay small, without the command line's library."""

from collections.abc import Collection, Mapping, Sequence


def options(
    words: Sequence[str], values: Collection[str], switches: Mapping[str, tuple[str, bool]]
) -> tuple[dict[str, str], dict[str, bool]] | None:
    """What stands behind a verb: options with a value (``--name value`` or ``--name=value``), and switches.

    Keys are the options' names with underscores. None for anything else: the whole command line answers that.
    """
    given: dict[str, str] = {}
    switched: dict[str, bool] = {}
    left = list(words)
    while left:
        name, equals, value = left.pop(0).partition("=")
        if name in switches and not equals:
            switched.update([switches[name]])
        elif name in values and (equals or left):
            given[name.removeprefix("--").replace("-", "_")] = value if equals else left.pop(0)
        else:
            return None
    return given, switched
