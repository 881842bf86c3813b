"""The one exception for what a person can put right: shown without a traceback, exit code 2."""


class TagmaskError(Exception):
    """Bad input. The message says what arrived, what was expected and what to do."""
