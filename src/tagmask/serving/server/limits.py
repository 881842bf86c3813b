"""What the server takes on, at most."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What the server takes on, at most.

    Attributes:
        body_bytes: bytes of a photograph's file.
        pixels: of a photograph, and of all photographs together that are decoded at a time.
        send_seconds: for sending a photograph, and for taking the answer.
        head_seconds: for sending the head of a request, and between requests of one connection.
        queue: photographs that have arrived and are not done yet; as many more may be on their way in or out.
        queue_seconds: until the network begins with a photograph that has arrived.
        stop_seconds: for what is in hand when the server is asked to stop.
        batch: photographs of one size that go through the network together, on an accelerator.
        gather_seconds: that an accelerator waits for more of them.
        threads: that decode and encode.
        connections: open at a time.
    """

    body_bytes: int = 32 * 2**20
    pixels: int = 50_000_000
    send_seconds: float = 30.0
    head_seconds: float = 10.0
    queue: int = 32
    queue_seconds: float = 30.0
    stop_seconds: float = 30.0
    batch: int = 8
    gather_seconds: float = 0.004
    threads: int = 2
    connections: int = 512
