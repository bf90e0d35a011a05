"""One thread a process: torch's default of two stalls when the other core is busy."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("WANDB_SILENT", "true")
