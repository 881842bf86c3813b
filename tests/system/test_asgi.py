import asyncio

from tagmask.system.asgi import with_headers


def test_headers_go_with_the_start_of_an_answer_alone():
    sent = []

    async def send(message):
        sent.append(message)

    async def answer():
        await sending({"type": "http.response.start", "status": 200, "headers": [(b"x-own", b"1")]})
        await sending({"type": "http.response.body", "body": b"ok"})

    sending = with_headers(send, ((b"x-more", b"2"),))
    asyncio.run(answer())
    assert sent[0]["headers"] == [(b"x-own", b"1"), (b"x-more", b"2")]
    assert sent[1] == {"type": "http.response.body", "body": b"ok"}
