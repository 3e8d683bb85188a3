"""Run one target of ``fuzz`` under atheris: ``python -m tests.campaign.fuzz_guided NAME OPTIONS``."""

import sys

import atheris  # type: ignore[import-untyped]

with atheris.instrument_imports(include=["modelward"]):
    from tests.campaign.fuzz import one, target


def main() -> None:
    """The options behind the name are atheris's own."""
    name, *options = sys.argv[1:]

    with atheris.instrument_imports(include=["modelward"]):
        use = target(name)

    def test(data: bytes) -> None:
        one(use, data)

    atheris.Setup([sys.argv[0], *options], test)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
