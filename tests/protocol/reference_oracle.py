"""The protocol, word by word and slowly: one binarisation a threshold, every box and IoU in plain Python."""

import cv2
import numpy as np

DELTAS = (0.3, 0.5, 0.7)


def predicted_boxes(scoremap, tau, multi):
    image = (scoremap.astype(np.float64) * 255).astype(np.uint8)
    return boxes_above(image, int(tau * int(image.max())), multi)


def otsu_variance(image, level):
    """The variance between the pixels up to a level and those above, of Otsu's paper."""
    pixels = image.ravel().astype(np.float64)
    low, high = pixels[pixels <= level], pixels[pixels > level]
    if low.size == 0 or high.size == 0:
        return 0.0
    return low.size / pixels.size * high.size / pixels.size * (low.mean() - high.mean()) ** 2


def otsu_level(image):
    """The first level of the largest variance."""
    variances = [round(otsu_variance(image, level), 6) for level in range(256)]
    return variances.index(max(variances))


def boxes_above(image, level, multi):
    height, width = image.shape
    _, binary = cv2.threshold(image, level, 255, cv2.THRESH_BINARY)
    contours, _ = cv2.findContours(binary, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
    if len(contours) == 0:
        return [(0, 0, 0, 0)]
    if not multi:
        contours = [max(contours, key=cv2.contourArea)]
    boxes = []
    for contour in contours:
        x, y, w, h = cv2.boundingRect(contour)
        boxes.append((x, y, min(x + w, width - 1), min(y + h, height - 1)))
    return boxes


def plain_iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0]) + 1
    height = min(a[3], b[3]) - max(a[1], b[1]) + 1
    shared = width * height if width > 0 and height > 0 else 0
    area_a = (a[2] - a[0] + 1) * (a[3] - a[1] + 1)
    area_b = (b[2] - b[0] + 1) * (b[3] - b[1] + 1)
    return shared / (area_a + area_b - shared)


def scaled(box, image_size, frame):
    (old_w, old_h), (new_w, new_h) = image_size, frame
    x0, y0, x1, y1 = (int(v) for v in box)
    return int(x0 * new_w / old_w), int(y0 * new_h / old_h), int(x1 * new_w / old_w), int(y1 * new_h / old_h)


def best_ious(scoremap, boxes, thresholds, multi):
    return [
        max(plain_iou(p, tuple(b)) for p in predicted_boxes(scoremap, tau, multi) for b in np.asarray(boxes).tolist())
        for tau in thresholds
    ]


def counts(scoremaps, boxes, sizes, thresholds, multi):
    correct = {delta: [0] * len(thresholds) for delta in DELTAS}
    for image_id, scoremap in scoremaps.items():
        frame = (scoremap.shape[1], scoremap.shape[0])
        truth = [scaled(box, sizes[image_id], frame) for box in boxes[image_id]]
        for index, best in enumerate(best_ious(scoremap, truth, thresholds, multi)):
            for delta in DELTAS:
                correct[delta][index] += best >= delta
    return correct


def pxap(scoremaps, masks, ignores, interval):
    edges = np.concatenate([np.arange(0, 1, interval), [1.0, 2.0, 3.0]])
    true, false = np.zeros(len(edges) - 1), np.zeros(len(edges) - 1)
    for image_id, scoremap in scoremaps.items():
        mask, ignore = masks[image_id], ignores[image_id]
        true += np.histogram(scoremap[mask].astype(np.float64), bins=edges)[0]
        false += np.histogram(scoremap[~mask & ~ignore].astype(np.float64), bins=edges)[0]
    area, hits, predicted, recall = 0.0, 0.0, 0.0, 0.0
    for k in range(len(edges) - 2, -1, -1):
        hits, predicted = hits + true[k], predicted + true[k] + false[k]
        before, recall = recall, hits / true.sum()
        if predicted and k < len(edges) - 2:
            area += hits / predicted * (recall - before)
    return 100 * area
