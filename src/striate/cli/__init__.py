"""The command line: flags in, one action, its result shown. Only this room prints and ends the process."""
