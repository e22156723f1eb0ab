import sys

from tests.disk_faults import run

run(*sys.argv[1:])
