"""`python -m probgen`: the same as the command `probgen`."""

from __future__ import annotations

import sys

from probgen.cli import main

if __name__ == "__main__":
    sys.exit(main())
