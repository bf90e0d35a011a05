"""`python -m kdzoo.cli`, for where the script is not on the path."""

import sys

from kdzoo.cli import program

if __name__ == "__main__":
    sys.exit(program())
