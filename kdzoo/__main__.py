"""`python -m kdzoo` is the command `kdzoo`."""

import sys

from kdzoo.cli import program

sys.exit(program())
