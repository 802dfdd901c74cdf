"""The boxes that the regressor learns: deep descriptor transforming, the images of one class at a time."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from wsolbench.api import Descriptors, Features, TargetImages, region_boxes


def object_boxes(images: TargetImages) -> Iterator[Tensor]:
    """Yield the boxes of images, batch by batch: (B, 4) float32, corners in fractions; four NaN for none.

    There are two passes over the images. The first finds mean and first principal axis of the descriptors of each
    class, the second projects those of each image onto the axis. The box is that of the largest region of positive
    cells, and the whole image where no cell is positive. Images whose features are not finite have none. During the
    first pass 8 K² bytes are held for every class.

    Args:
        images: The images and their classes.

    Source:
        Wei et al., "Unsupervised Object Discovery and Co-Localization by Deep Descriptor Transforming", Pattern
        Recognition 88, 2019; class by class as in PSOL.
    """
    seen: dict[int, Descriptors] = {}
    for features, labels, finite in _features(images):
        for label in sorted(set(labels[finite].tolist())):
            added = Descriptors.of(features[finite & (labels == label)])
            seen[label] = seen[label].merged(added) if label in seen else added
    projections = {label: (each.mean, each.first_axis()) for label, each in seen.items()}
    del seen
    for features, labels, finite in _features(images):
        boxes = features.new_full((len(features), 4), float("nan"), dtype=torch.float32)
        for label in set(labels[finite].tolist()):
            mean, axis = projections[label]
            chosen = finite & (labels == label)
            maps = torch.einsum("k,bkhw->bhw", axis, features[chosen].double() - mean[:, None, None])
            boxes[chosen] = region_boxes(maps > 0).float()
        yield boxes


def _features(images: TargetImages) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield for each batch the feature maps (B, K, h, w), the classes (B,), and which images have finite features."""
    for batch, labels in images:
        features = images.network.forward_features(batch)
        maps = features.maps if isinstance(features, Features) else features
        yield maps, labels, maps.isfinite().flatten(1).all(dim=1)


def mean_squared_error(found: Tensor, boxes: Tensor) -> Tensor:
    """Return the squared error of boxes, a mean over their four numbers and over the images that have a box.

    It is 0 where no image has one.

    Args:
        found: x, y, width and height (B, 4), in fractions of the image.
        boxes: Corners x0, y0, x1, y1 (B, 4), in fractions of the image; four NaN for no box.
    """
    there = boxes.isfinite().all(dim=1)
    corners = boxes.where(there[:, None], 0)
    expected = torch.cat([corners[:, :2], corners[:, 2:] - corners[:, :2]], dim=1)
    errors = (found - expected).square().mean(dim=1).where(there, 0)
    return errors.sum() / there.sum().clamp(min=1)
