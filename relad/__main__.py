"""Run relad as ``python -m relad``."""

import sys

from relad.cli import main

sys.exit(main())
