"""Start a step from anywhere: ``python /path/to/workflow/relad.py STEP …``.

The rules call this file by its absolute path, so that jobs find the package in every environment
(conda, SLURM, any working directory) without it being installed there.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    # Replaces this folder, in which `import relad` would find this very file.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

    from relad.cli import main
    from relad.orphans import end_with_the_run
    from relad.study.planned import require_planned_code

    end_with_the_run()
    sys.exit(main(before=require_planned_code))
