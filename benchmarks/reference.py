"""The protocol of wsolevaluation with OpenCV, threshold by threshold: slow, literal, the yardstick of the others."""

from typing import Any

import cv2
import numpy as np

Array = np.ndarray[Any, Any]


def box_iou_curve(score_map: Array, gt_boxes: Array, thresholds: int = 1000, contours: str = "all") -> Array:
    """Return the best IoU for each threshold, as the published protocol computes it (Choe et al. 2020, section 4).

    `score_map` (H, W) floats in [0, 1]; `gt_boxes` (M, 4) integers (x0, y0, x1, y1) in the map's pixels; `contours` is
    "all" (MaxBoxAccV2) or "largest" (MaxBoxAcc).
    """
    image = (score_map * 255).astype(np.uint8)
    taus = np.arange(0, 1, 1 / thresholds)
    return np.array([best_iou(image, int(tau * np.max(image)), gt_boxes, contours) for tau in taus])


def box_iou_curve_by_level(score_map: Array, gt_boxes: Array, thresholds: int = 1000, contours: str = "all") -> Array:
    """Return the same to the bit, asking OpenCV once for each grey level that occurs in the map."""
    image = (score_map * 255).astype(np.uint8)
    levels = np.unique(image)
    # What is above a level is what is above the highest level of the map up to it.
    below = np.searchsorted(levels, (np.arange(0, 1, 1 / thresholds) * np.max(image)).astype(int), side="right") - 1
    best = {index: best_iou(image, int(levels[index]) if index >= 0 else 0, gt_boxes, contours) for index in {*below}}
    return np.array([best[index] for index in below])


def best_iou(image: Array, level: int, gt_boxes: Array, contours: str) -> float:
    """Return the best IoU of the boxes of what is above a level of a uint8 image."""
    height, width = image.shape
    _, binary = cv2.threshold(image, level, 255, cv2.THRESH_BINARY)
    found, _ = cv2.findContours(binary, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
    if found and contours == "largest":
        found = [max(found, key=cv2.contourArea)]
    boxes = []
    for contour in found:
        x, y, w, h = cv2.boundingRect(contour)
        boxes.append((x, y, min(x + w, width - 1), min(y + h, height - 1)))
    return float(box_iou(np.array(boxes or [(0, 0, 0, 0)]), gt_boxes).max())


def box_iou(a: Array, b: Array) -> Array:
    """Return the (A, B) IoU of integer boxes (x0, y0, x1, y1) whose sides count as x1 - x0 + 1."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.maximum(high - low + 1, 0).prod(axis=2)
    sizes = [(boxes[:, 2:] - boxes[:, :2] + 1).prod(axis=1) for boxes in (a, b)]
    return np.asarray(shared / (sizes[0][:, None] + sizes[1][None, :] - shared))
