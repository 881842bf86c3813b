"""``python -m tagmask``, for ``accelerate launch -m tagmask`` and ``torchrun -m tagmask``."""

from tagmask.cli import main

main()
