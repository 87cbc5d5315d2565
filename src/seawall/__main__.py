"""``python -m seawall``."""

from seawall.cli.start import main

main()
