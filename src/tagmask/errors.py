"""The one exception for what a person can put right: shown without a traceback, exit code 2."""


class TagmaskError(Exception):
    """Bad input. The message says what arrived, what was expected and what to do."""


def first_line(error: BaseException) -> str:
    r"""What an error says, in one line; its kind where it says nothing.

    >>> first_line(ValueError("\nno such thing\nat all")), first_line(KeyError())
    ('no such thing', 'KeyError')
    """
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
