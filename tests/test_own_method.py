"""The method of the tutorial: one file outside the package that goes all the way, alone and with PPC around it."""

from types import ModuleType

import pytest
import torch

import tagmask
from conftest import TINY, tiny_backbone
from tagmask.contracts import Batch, Method
from tagmask.methods import METHODS, build_method
from tagmask.training.engine import collate
from tagmask.training.samples import TagSamples
from test_docs import ROOT, blocks, load_script

FILE = ROOT / "examples" / "own_method.py"
PAGE = ROOT / "docs" / "add-a-method.md"
CLASSES = 4


@pytest.fixture(scope="module")
def own():
    """The example, known to the package as long as this file is tested."""
    module = load_script(FILE)
    yield module
    del METHODS[module.TopConfig]


@pytest.fixture
def batch(scenes) -> Batch:
    augment = tagmask.load_recipe("toy", ["training.augment.crop=48"]).training.augment
    samples = TagSamples(scenes, scenes.split("train"), augment, tiny_backbone().normalization)
    return collate([samples.sample(0, 0, index) for index in range(4)])


def top(own: ModuleType, share: float = 0.3) -> Method:
    torch.manual_seed(0)
    return own.Top(own.TopConfig(share=share), tiny_backbone(), CLASSES)


def test_the_page_shows_the_file_word_for_word():
    assert FILE.read_text(encoding="utf-8") in blocks(PAGE, "python")


def test_the_file_is_about_sixty_lines_of_code():
    lines = [line for line in FILE.read_text(encoding="utf-8").splitlines() if line.strip()]
    assert len(lines) <= 65


def test_all_pixels_are_the_mean_and_few_the_largest(own, batch):
    with torch.no_grad():
        for share, pool in ((1.0, torch.mean), (1e-9, torch.amax)):
            method = top(own, share)
            found = method(batch.images)
            everywhere = method.classify(found.embedding)
            torch.testing.assert_close(found.logits, pool(everywhere, dim=(2, 3)))
            assert torch.equal(found.maps, everywhere.relu())


def test_a_share_counts_the_best_pixels(own):
    method = top(own, 0.5)
    grid = torch.tensor([[4.0, 1.0, -2.0, 3.0]]).view(1, 1, 2, 2).expand(1, 16, 2, 2)
    method.backbone.forward_levels = lambda images: [grid]
    with torch.no_grad():
        method.classify.weight.zero_()
        method.classify.weight[1, 5] = 2.0
        logits = method(torch.zeros(1, 3, 16, 16)).logits
    assert logits.tolist() == [[0, 7, 0, 0]]  # (8 + 6) / 2


def test_every_parameter_learns_and_is_in_one_group(own, batch):
    method = build_method(own.TopConfig(), tiny_backbone(), CLASSES)
    torch.stack(list(method.losses(batch).values())).sum().backward()
    grouped = [id(p) for group in method.parameter_groups() for p in group.parameters]
    assert sorted(grouped) == sorted(id(p) for p in method.parameters())
    assert all(p.grad is not None for p in method.parameters())


def test_ppc_goes_around_it_and_leaves_it(own, batch):
    method = build_method(own.TopPpcConfig(), tiny_backbone(), CLASSES)
    losses = method.train().losses(batch)
    assert losses.keys() > {"tags"}
    torch.stack(list(losses.values())).sum().backward()
    left = method.for_inference()
    assert isinstance(left, own.Top)
    with torch.no_grad():
        assert torch.equal(left.eval()(batch.images).maps, method.eval()(batch.images).maps)


@pytest.mark.parametrize("settings", [{"kind": "top", "share": 0.2}, {"kind": "ppc", "temperature": 0.2}])
def test_it_goes_all_the_way(own, tmp_path, settings):
    scores = own.run(tmp_path, settings, *TINY)
    assert {"seed_best", "walk", "mask", "prediction"} <= scores.keys()
    image = torch.zeros(48, 48, 3, dtype=torch.uint8).numpy()
    assert tagmask.load(tmp_path)(image).shape == (48, 48)  # needs the package alone, not the file
    assert own.run(tmp_path, settings, *TINY) == scores  # continued, nothing is done twice


def test_other_recipes_do_not_know_it(own):
    with pytest.raises(tagmask.TagmaskError, match="method"):
        tagmask.load_recipe("toy", ["method.kind=top"])


def test_settings_out_of_range_are_refused(own):
    with pytest.raises(ValueError, match="share"):
        own.TopConfig(share=0)
