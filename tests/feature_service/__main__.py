"""The command line of the reference feature service."""

import sys

from .cli import main

sys.exit(main())
