"""Scores and the threshold curve of a few images, as SEAM's evaluation and a nan-mean count them."""

import numpy as np

from tagmask.scoring.metrics import (
    IGNORE,
    Protocol,
    Scores,
    best_threshold,
    confusion_matrix,
    score,
    score_counts,
    threshold_sweep,
)

TOLERANCE = {"out_confusion": (0.0, 0.0), "*": (1e-9, 0.0)}


def metrics(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    k, images = int(arrays["p_num_classes"]), range(int(arrays["p_num_images"]))
    truths = [_truth(arrays[f"in_gt{i}"], int(arrays["p_ignore"])) for i in images]
    pairs = [confusion_matrix(truths[i], arrays[f"in_pred{i}"].astype(np.int32), k) for i in images]
    confusion = np.sum(pairs, axis=0)
    curve, best, at_best = _curve(arrays, truths, k)
    published, occurring = (score(confusion, _protocol(rule)) for rule in ("zero", "left out"))
    return {
        "out_iou_seam": _iou(published),
        "out_miou_seam": np.asarray(published.mean_iou),
        "out_confusion": confusion[:, :k],
        "out_iou_nan": _iou(occurring),
        "out_miou_nanmean": np.asarray(occurring.mean_iou),
        "out_pixel_acc": np.asarray(occurring.pixel_accuracy),
        "out_fwiou": np.asarray(occurring.frequency_weighted_iou),
        "out_curve": curve,
        "out_best_threshold": arrays["in_thresholds"][best],
        "out_best_miou": np.asarray(at_best.mean_iou),
        "out_best_iou": _iou(at_best),
    }


def _curve(arrays: dict[str, np.ndarray], truths: list[np.ndarray], k: int) -> tuple[np.ndarray, int, Scores]:
    thresholds = arrays["in_thresholds"].astype(np.float32)
    protocol = _protocol("zero")
    counts = np.sum(
        [threshold_sweep(t, arrays[f"in_maps{i}"], arrays[f"in_keys{i}"], thresholds, k) for i, t in enumerate(truths)],
        axis=0,
    )
    best = best_threshold(counts, protocol)
    curve = np.array([score_counts(each, protocol).mean_iou for each in counts])
    return curve, best, score_counts(counts[best], protocol)


def _truth(gt: np.ndarray, ignore: int) -> np.ndarray:
    return np.where(gt == ignore, IGNORE, gt.astype(np.int32))


def _protocol(absent: str) -> Protocol:
    return Protocol("seed", "golden", "all", num_masks=1, absent=absent)


def _iou(scores: Scores) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in scores.iou])
