import inspect

from tagmask.cli.serve import serve
from tagmask.serving.server.limits import Limits


def test_the_command_has_the_same_limits_unless_told_otherwise():
    options = {name: each.default for name, each in inspect.signature(serve).parameters.items()}
    limits = Limits()
    assert options["max_megabytes"] * 2**20 == limits.body_bytes
    assert options["max_megapixels"] * 1_000_000 == limits.pixels
    for name in ("send_seconds", "queue", "queue_seconds", "stop_seconds"):
        assert options[name] == getattr(limits, name)
