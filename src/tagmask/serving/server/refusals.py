"""Requests that are not done: the status, and the sentence that says why."""

from tagmask.errors import TagmaskError


class RefusedError(TagmaskError):
    """A request is not done.

    Args:
        status: of HTTP.
        sentence: what arrived, what was expected, what to do.
        retry_after: seconds after which the same request may succeed; None: it will not.
    """

    def __init__(self, status: int, sentence: str, retry_after: int | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.retry_after = retry_after

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The headers that go with it."""
        return [] if self.retry_after is None else [(b"retry-after", str(self.retry_after).encode())]


class GoneError(Exception):
    """The client has hung up; nobody is left to be answered."""


def too_large(what: str, most: str) -> RefusedError:
    """413, with what arrived and how much may."""
    return RefusedError(413, f"the photograph has {what}, expected at most {most}; make it smaller")


def too_late(seconds: float) -> RefusedError:
    """503 for a photograph that has waited too long."""
    return RefusedError(
        503, f"the photograph has waited for {seconds:g} s and its turn has not come; send it again later", 5
    )
