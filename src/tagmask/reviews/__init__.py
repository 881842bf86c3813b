"""What a person has decided about pseudo masks: accepted, corrected or rejected, with other tags where they were wrong.

Decisions enter one by one and are kept in a folder of their own beside the masks, which stay as they are.
Decisions, corrected masks, and what they say about the masks that nobody has looked at leave.
"""

from tagmask.reviews.store import Review, Reviews

__all__ = ["Review", "Reviews"]
