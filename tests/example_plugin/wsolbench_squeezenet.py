"""SqueezeNet 1.0 (Iandola et al., 2016) as a wsolbench plugin: a backbone that reads its own weights format.

The class activation map of ``squeezenet`` is the class's map after the last convolution; the class score is the map's
mean. ``squeezenet_fire9`` is the same network tapped one layer earlier, for methods that look at many maps. The ten
classes are those of imagenette, taken from the 1,000 rows of an ImageNet checkpoint.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from wsolbench.api import BackboneSpec, InputConfig, hookimpl

IMAGENETTE_ROWS = [0, 217, 482, 491, 497, 566, 569, 571, 574, 701]
FIRES = {2: (96, 16, 64), 3: (128, 16, 64), 4: (128, 32, 128), 5: (256, 32, 128)}
FIRES |= {6: (256, 48, 192), 7: (384, 48, 192), 8: (384, 64, 256), 9: (512, 64, 256)}


class Fire(nn.Module):
    """Squeeze to a few channels, then expand by 1×1 and 3×3 kernels side by side."""

    def __init__(self, inputs: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, h, w) to (B, 2 · expanded, h, w)."""
        x = F.relu(self.squeeze(x))
        return torch.cat([F.relu(self.expand1x1(x)), F.relu(self.expand3x3(x))], dim=1)


class SqueezeNet(nn.Module):
    """The network; the weights expect BGR images of 0 to 255 less their mean."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 96, 7, stride=2)
        for number, widths in FIRES.items():
            self.add_module(f"fire{number}", Fire(*widths))
        self.conv10 = nn.Conv2d(512, num_classes, 1)
        # Features average about 11: with larger kernels the ReLU behind them is dead for all classes in a few steps.
        nn.init.normal_(self.conv10.weight, std=1e-3)
        nn.init.ones_(self.conv10.bias)
        self.register_buffer("identity", torch.eye(num_classes), persistent=False)

    def fires(self, images: Tensor) -> Tensor:
        """Return the last fire module's maps (B, 512, h, w) of RGB images (B, 3, H, W) less their mean, 0 to 255."""
        x = F.max_pool2d(F.relu(self.conv1(images.flip(1))), 3, 2, ceil_mode=True)
        for number in FIRES:
            x = self.get_submodule(f"fire{number}")(x)
            if number in (4, 8):
                x = F.max_pool2d(x, 3, 2, ceil_mode=True)
        return x

    def forward_features(self, images: Tensor) -> Tensor:
        """Return one map a class (B, C, h, w)."""
        return F.relu(self.conv10(self.fires(images)))

    def forward_head(self, features: Tensor) -> Tensor:
        """Return the logits (B, C): the mean of each class's map."""
        return features.mean(dim=(2, 3))

    @property
    def classifier_weight(self) -> Tensor:
        """The identity (C, C): a class is scored by its own map alone."""
        return self.get_buffer("identity")


class SqueezeNetFire9(SqueezeNet):
    """The network tapped before its classifier, a 1×1 convolution.

    Since a ReLU stands between the class maps and their mean, no weighted sum of these features has the class score for
    its mean.
    """

    def forward_features(self, images: Tensor) -> Tensor:
        """Return the last fire module's maps (B, 512, h, w)."""
        return self.fires(images)

    def forward_head(self, features: Tensor) -> Tensor:
        """Return the logits (B, C)."""
        return F.relu(self.conv10(features)).mean(dim=(2, 3))

    @property
    def classifier_weight(self) -> Tensor:
        """The kernels (C, 512) of the class maps."""
        return self.conv10.weight.flatten(1)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read an ``.npz`` of Caffe weights and keep the rows of imagenette's classes, or what `wsolbench train` wrote."""
    if path.suffix == ".safetensors":
        return load_file(path)
    with np.load(path, allow_pickle=False) as arrays:
        state = {key: torch.from_numpy(arrays[key]) for key in arrays.files}
    for key in ("conv10.weight", "conv10.bias"):
        state[key] = state[key][IMAGENETTE_ROWS]
    return state


@hookimpl
def wsolbench_backbones() -> list[BackboneSpec]:
    """Offer the network, tapped after and before its classifier."""
    mean = (123 / 255, 117 / 255, 104 / 255)
    return [
        BackboneSpec(
            name=name,
            build=build,
            input=InputConfig(size=227, mean=mean, std=(1 / 255, 1 / 255, 1 / 255), interpolation="bilinear"),
            source="Iandola et al., SqueezeNet, 2016",
            classifier_key="conv10.weight",
            read_weights=read_weights,
        )
        for name, build in (("squeezenet", SqueezeNet), ("squeezenet_fire9", SqueezeNetFire9))
    ]
