"""Training steps of others' code against kdzoo's, on the same batches from the same weights, in float64.

    git clone https://github.com/HobbitLong/RepDistiller
    python -m benchmarks.peers RepDistiller

The checkout's own loops train by their own losses; kdzoo trains by its CIFAR-100 recipe (resnet8x4 teaches resnet20, images are
random numbers). Printed are the relative gap of the mean loss over the steps, the largest gap of a parameter relative to the
largest step that any took, and the same of the student's BatchNorm statistics. A gap above a row's limit: exit code 1.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.peers import mdistiller, rep_distiller, singles
from benchmarks.peers.steps import Peer, compared

REPOSITORIES: dict[str, tuple[str, dict[str, Peer]]] = {
    "RepDistiller": (".", rep_distiller.PEERS),
    "mdistiller": (".", mdistiller.PEERS),
    **singles.REPOSITORIES,
}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path, help=f"a clone, in a folder called {', '.join(REPOSITORIES)}")
    parser.add_argument("--methods", nargs="+", help="names in their code; default all")
    args = parser.parse_args(argv)
    name = args.checkout.resolve().name
    if name not in REPOSITORIES or not args.checkout.is_dir():
        parser.error(f"{args.checkout} is no clone of {', '.join(REPOSITORIES)}")
    folder, peers = REPOSITORIES[name]
    unknown = set(args.methods or ()) - set(peers)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: there is only {', '.join(peers)}")
    sys.path[:0] = [str((args.checkout / folder).resolve()), str(args.checkout.resolve())]
    print(f"{args.checkout.resolve().name} {commit(args.checkout)}\n")
    print("| theirs | recipe | loss | parameters | statistics | |\n|---|---|---|---|---|---|")
    equal = True
    for name in args.methods or peers:
        with TemporaryDirectory() as empty, contextlib.chdir(empty), contextlib.redirect_stdout(io.StringIO()):
            gap = compared(peers[name])  # their code may print, and make folders
        equal = equal and gap.worst <= peers[name].limit
        figures = ["–" if value is None else f"{value:.0e}" for value in (gap.loss, gap.parameters, gap.statistics)]
        print("|", " | ".join([name, peers[name].extends, *figures, peers[name].note]), "|", flush=True)
    return int(not equal)


def commit(checkout: Path) -> str:
    """The commit that is checked out."""
    return subprocess.run(
        ["git", "-C", checkout, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True
    ).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
