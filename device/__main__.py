"""``python -m device`` is the ``fieldsync`` command."""

import sys

from device.cli import main

if __name__ == "__main__":
    sys.exit(main())
