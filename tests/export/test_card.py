from dataclasses import replace

import pytest

from tagmask.config import CrfConfig, Resnet38dBackbone, TimmBackbone
from tagmask.export.card import UNKNOWN, Facts, Score, card, weights_licence
from tagmask.export.check import Comparison
from tagmask.inference.exported import read_settings
from tagmask.inference.predictor import segmenter_facts

COMPARISON = Comparison(
    images=20, difference=1.2e-5, equal=0.99995, size=(213, 320), threads=1, torch_seconds=0.107, seconds=0.047
)


@pytest.fixture
def facts(exported, trained) -> Facts:
    return Facts(
        learned=segmenter_facts(trained / "segmenter.safetensors")[0],
        dataset="scenes",
        images=4,
        settings=read_settings(exported("bundle") / "settings.json"),
        scores={
            "prediction": Score(protocol="on scenes.", mean_iou=0.625, iou={"a": 0.9, "b": 0.35, "c": None}),
            "tags": Score(protocol="on tags.", mean_average_precision=0.75),
        },
        comparison=COMPARISON,
        environment={"versions": "tagmask 1"},
        size=10_092_015,
    )


def test_the_card_tells_scores_with_their_protocols(facts):
    text = card(facts)
    assert "| this network | 62.5 | mean IoU | on scenes. |" in text
    assert "| the classifier of tags | 75.0 | mean average precision | on tags. |" in text
    assert "IoU of each class, in %: a 90, b 35." in text
    assert "- Below 50 % IoU: b." in text


def test_the_card_tells_what_was_compared(facts):
    text = card(facts)
    assert "| largest difference of a logit | 1.2e-05 |" in text
    assert "| pixels with the same class | 99.995 % |" in text
    assert "| one pass, 213 x 320 pixels, 1 thread(s) | 47 ms |" in text
    assert "| the same by torch | 107 ms |" in text


def test_the_card_tells_what_is_done_to_a_photograph(facts):
    text = card(facts)
    assert "1. RGB, turned upright by its EXIF" in text
    assert "4. Scales 0.75, 1, each with its mirror image" in text
    assert "long side of 40 pixels" in text
    assert "(10.1 MB, float32)" in text
    assert "CRF on the probabilities" not in text


def test_a_crf_that_the_script_leaves_out_is_told(facts):
    settings = facts.settings.model_copy(update={"crf": CrfConfig()})
    assert "`predict.py` leaves it out, so its masks differ" in card(replace(facts, settings=settings))


def test_without_scores_it_says_so(facts):
    text = card(replace(facts, scores={}))
    assert "None were measured" in text
    assert "It was not scored" in text
    assert "Below 50 %" not in text


def test_a_score_of_tags_is_none_of_the_network(facts):
    text = card(replace(facts, scores={"tags": facts.scores["tags"]}))
    assert "| the classifier of tags | 75.0 |" in text
    assert "The network was not scored: no validation image" in text
    assert "Scores are of the network" not in text
    assert "It was not scored; try it on yours" in text


@pytest.mark.parametrize(
    ("backbone", "licence"),
    [
        (TimmBackbone(model="mobilenetv2_100", weights="w.pth"), UNKNOWN),
        (Resnet38dBackbone(weights="w.params"), UNKNOWN),
        (TimmBackbone(model="mobilenetv2_100", weights="none"), "none needed"),
        (TimmBackbone(model="mobilenetv2_100"), "apache-2.0, as timm tells"),
    ],
)
def test_the_licence_of_the_starting_weights_is_told_as_far_as_it_is_known(backbone, licence):
    assert weights_licence(backbone) == licence


def test_paths_of_local_weights_are_not_told(facts):
    backbone = TimmBackbone(model="mobilenetv2_100", weights="/home/anna/w.pth")
    text = card(replace(facts, learned=facts.learned.model_copy(update={"backbone": backbone})))
    assert "a local file, `w.pth`" in text
    assert "anna" not in text


def test_the_scales_inside_a_network_are_told(facts):
    assert "keeps the largest logits" not in card(facts)
    segmenter = facts.learned.segmenter.model_copy(update={"maximum_over": (1.0, 0.75)})
    learned = facts.learned.model_copy(update={"segmenter": segmenter})
    assert "at scales 1, 0.75 and keeps the largest logits" in card(replace(facts, learned=learned))
