"""``python -m rtspdsr`` is the same as ``rtspdsr``."""

from rtspdsr.cli import main

main()
