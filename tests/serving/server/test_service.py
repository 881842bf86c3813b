import asyncio
import json
import threading

import numpy as np
import pytest
import torch
from PIL import Image

from tagmask.inference.predictor import Predictor
from tagmask.inference.reading import Reading
from tagmask.serving.server import service as module
from tagmask.serving.server.bodies import Body
from tagmask.serving.server.limits import Limits
from tagmask.serving.server.refusals import RefusedError
from tagmask.serving.server.service import Service


def body(content):
    async def receive():
        return {"type": "http.request", "body": content}

    return Body(receive, None)


def answers(service, contents, form="png", during=None):
    """What becomes of photographs that come at once."""

    async def scenario():
        work = asyncio.create_task(service.queue.work())
        jobs = [asyncio.create_task(service.answer(body(content), form)) for content in contents]
        if during is not None:
            await during(jobs)
        found = await asyncio.gather(*jobs, return_exceptions=True)
        work.cancel()
        service.close()
        return found

    return asyncio.run(scenario())


def test_photographs_are_counted_and_leave_nothing_behind(predictor, tmp_path, encoded):
    service = Service(predictor, "tiny", tmp_path, Limits())
    found = answers(service, [encoded(), encoded("BMP")])
    assert found[0] == found[1]
    assert (service.meters.photographs, service.meters.pixels) == (2, 2 * 48 * 48)
    assert service.photographs.inside == 0
    assert list(tmp_path.iterdir()) == []


def test_only_so_many_pixels_are_decoded_at_a_time(slow, tmp_path, encoded):
    go, read = threading.Event(), []

    class Counted(Reading):
        def photograph(self, path):
            read.append(path)
            return super().photograph(path)

    async def during(jobs):
        await asyncio.sleep(0.2)
        assert len(read) == 2
        assert len(list(tmp_path.iterdir())) == 3  # the others wait as files
        go.set()

    predictor = slow(lambda: go.wait(5))
    predictor.reading = Counted()
    service = Service(predictor, "slow", tmp_path, Limits(pixels=2 * 48 * 48))
    found = answers(service, [encoded()] * 5, during=during)
    assert len({answer.content for answer in found}) == 1
    assert len(read) == 5


def test_a_full_queue_sends_away_before_and_after_the_body(slow, tmp_path, encoded):
    go = threading.Event()

    async def during(jobs):
        await asyncio.wait(jobs, timeout=5, return_when=asyncio.FIRST_COMPLETED)
        unread = body(b"never read")
        with pytest.raises(RefusedError) as caught:
            await service.answer(unread, "png")
        assert caught.value.status == 429
        assert not unread.is_over
        go.set()

    predictor = slow(lambda: go.wait(5))
    service = Service(predictor, "slow", tmp_path, Limits(queue=2))
    found = answers(service, [encoded()] * 3, during=during)
    assert sorted(type(each).__name__ for each in found) == ["Answer", "Answer", "RefusedError"]


def test_batches_are_made_where_they_gain(predictor, tmp_path, encoded, monkeypatch):
    sizes = []

    def together(predictor, images):
        sizes.append(len(images))
        return [predictor(image) for image in images]

    monkeypatch.setattr(module, "gains_together", lambda predictor: True)
    monkeypatch.setattr(module, "masks_together", together)
    found = answers(Service(predictor, "tiny", tmp_path, Limits(gather_seconds=0.3)), [encoded()] * 3)
    assert sizes == [3]
    assert len({answer.content for answer in found}) == 1


def test_a_processor_computes_one_after_the_other(predictor, tmp_path, monkeypatch):
    assert not module.gains_together(predictor)
    elsewhere = Predictor(predictor.network, predictor.config, predictor.classes, torch.device("cpu"))
    monkeypatch.setattr(elsewhere, "device", torch.device("meta"))
    assert module.gains_together(elsewhere)


def test_a_mask_is_never_that_of_another(slow, tmp_path, encoded):
    predictor = slow(lambda: None)
    pictures = [Image.fromarray(np.zeros((3, n, 3), np.uint8)) for n in (5, 6, 7, 8, 9) * 6]
    contents = [encoded(picture=picture) for picture in pictures]
    found = answers(Service(predictor, "slow", tmp_path, Limits()), contents, "rle")
    numbers = [json.loads(answer.content)["annotations"][0]["category_id"] for answer in found]
    assert numbers == [5, 6, 7, 8, 9] * 6
