from tagmask.serving.server.limits import Limits
from tagmask.serving.server.openapi import REFUSALS, description


def test_every_answer_of_predict_is_described():
    found = description("1.2.3", Limits())
    assert found["info"]["version"] == "1.2.3"
    post = found["paths"]["/predict"]["post"]
    assert set(post["responses"]) == {"200", *map(str, REFUSALS)}
    assert post["parameters"][0]["schema"]["enum"] == ["png", "rle", "overlay"]
    assert set(post["requestBody"]["content"]) >= {"image/jpeg", "image/png", "image/tiff"}


def test_limits_are_those_of_the_server():
    text = description("1", Limits(body_bytes=77, pixels=88, send_seconds=9.5))["paths"]["/predict"]["post"][
        "description"
    ]
    assert text.startswith("At most 77 bytes and 88 pixels, sent within 9.5 s.")
