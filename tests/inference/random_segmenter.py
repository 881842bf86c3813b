"""Run folders with a segmenter that has learned nothing."""

import json

import torch

from shared_runs import tiny_recipe
from tagmask.inference.predictor import build_segmenter
from tagmask.networks.saved import save_weights

CLASSES = ("a", "b", "c", "d")


def written_segmenter(folder, *settings: str):
    """A run folder with a segmenter of random weights."""
    recipe = tiny_recipe(*settings)
    torch.manual_seed(0)
    facts = {"recipe": recipe.model_dump_json(), "classes": json.dumps(CLASSES)}
    save_weights(
        folder / "segmenter.safetensors", build_segmenter(recipe.segmenter, recipe.backbone, len(CLASSES), False), facts
    )
    return folder
