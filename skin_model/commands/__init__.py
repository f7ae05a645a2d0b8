"""Groups of commands; each module adds its own to the command line.  Exit statuses stand here."""

OK, SOME_FAILED, REFUSED, STOPPED = 0, 1, 2, 130
