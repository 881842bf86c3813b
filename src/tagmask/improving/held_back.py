"""Which corrected images judge an improvement, and are not learned from."""

import math
from collections.abc import Mapping

from tagmask.errors import TagmaskError
from tagmask.reviews.store import Review


def held_back(reviews: Mapping[str, Review], share: float) -> tuple[str, ...]:
    """Ids of corrected images to judge by, evenly over all of them in the order of their names.

    Accepted images do not judge: their masks are those of the first run, which nothing could be better than.

    Args:
        reviews: by image id.
        share: of the corrected images, in [0, 1); at least one is held back if it is not 0, and one is left.

    Raises:
        TagmaskError: the share is out of range.

    >>> held_back({str(i): Review(decision="corrected") for i in range(8)}, 0.25)
    ('2', '6')
    >>> held_back({"only": Review(decision="corrected"), "other": Review(decision="rejected")}, 0.25)
    ()
    """
    if not 0 <= share < 1:
        raise TagmaskError(f"a share of {share} of the corrected images cannot be held back; expected 0 to below 1")
    corrected = sorted(image_id for image_id, review in reviews.items() if review.decision == "corrected")
    if share == 0 or len(corrected) < 2:
        return ()
    number = min(max(1, round(share * len(corrected))), len(corrected) - 1)
    step = len(corrected) / number
    return tuple(corrected[math.floor((i + 0.5) * step)] for i in range(number))
