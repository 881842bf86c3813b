from tagmask.viewing.markup import rendered
from tagmask.viewing.overlay import Overlay


def test_every_text_is_escaped():
    from PIL import Image  # noqa: PLC0415 - beside its only use

    shown = Overlay(Image.new("RGB", (2, 2)), "<script>", (("<b>cat</b>", "rgb(1,2,3)"),))
    text = rendered("overlay.html", shown=shown, picture="data:x", width=240)
    assert "<script>" not in text
    assert "<b>cat" not in text
    assert "&lt;b&gt;cat" in text
    assert "background:rgb(1,2,3)" in text
