"""Stands in for a licensed code: leaves the stored output of a run in its folder and ends as that run ended.

``python replay.py STORED [exit STATUS | signal NUMBER]``; STORED is a file that is printed, or a folder whose files are
copied and whose ``stdout`` is printed. Every start leaves a line in the file that REPLAY_COUNT names.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path


def main(stored: Path, how: str = "exit", number: str = "0") -> None:
    count = os.environ.get("REPLAY_COUNT")
    if count:
        with open(count, "a", encoding="utf-8") as file:
            file.write("started\n")
    printed = stored
    if stored.is_dir():
        printed = stored / "stdout"
        for path in stored.iterdir():
            if path.name != "stdout":
                shutil.copy(path, path.name)
    sys.stdout.write(printed.read_text(encoding="utf-8"))
    sys.stdout.flush()
    if how == "signal":
        os.kill(os.getpid(), int(number))
    sys.exit(int(number))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
