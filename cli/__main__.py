"""`python -m ionloop.cli` is the `ionloop` command, also where no script was installed."""

from . import main

main()
