"""The command line, and nothing else: every command is a few lines that call the rooms below.

Words enter, as they are typed; calls of the other rooms leave, and sentences for the person who typed. Heavy modules
are imported inside the commands, so that help and typing errors are answered at once.
"""

from tagmask.cli.program import app, main

__all__ = ["app", "main"]
