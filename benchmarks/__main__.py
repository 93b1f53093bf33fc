"""``python -m benchmarks``."""

import sys

from benchmarks.command import main
from benchmarks.measuring import quiet

if __name__ == "__main__":
    quiet()
    sys.exit(main())
