"""What other networks predict of the images of a data set, in files: classes and boxes."""

from wsolbench.data.predictions.boxes import PredictedBoxes, read_predicted_boxes, write_predicted_boxes
from wsolbench.data.predictions.classes import read_predicted_classes
from wsolbench.data.predictions.images import PredictedImages

__all__ = [
    "PredictedBoxes",
    "PredictedImages",
    "read_predicted_boxes",
    "read_predicted_classes",
    "write_predicted_boxes",
]
