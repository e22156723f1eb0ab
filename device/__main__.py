"""``python -m device`` is the ``fieldsync`` command."""

import sys

from device.commands import fieldsync

if __name__ == "__main__":
    sys.exit(fieldsync())
