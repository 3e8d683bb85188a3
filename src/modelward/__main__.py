"""``python -m modelward``."""

from modelward.cli.app import main

main()
