"""A backbone: patches, mixed by depthwise and by 1×1 convolutions, after ConvMixer (Trockman & Kolter, 2022).

In the folder of this file, check it, train it from image labels, score it:

    wsolbench check patch_mixer.py
    wsolbench train --plugin patch_mixer.py --backbone patch-mixer --recipe-opt epochs=3 --out mixer
    wsolbench run --plugin patch_mixer.py --backbone patch-mixer --weights mixer/weights.safetensors --method cam
"""

from torch import nn

from wsolbench.api import BackboneSpec, Count, InputConfig, hookimpl, visit_layers


class Block(nn.Module):
    """Mixes places in each channel, then channels at each place."""

    def __init__(self, width, kernel):
        super().__init__()
        self.places = nn.Sequential(
            nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width), nn.GELU(), nn.BatchNorm2d(width)
        )
        self.channels = nn.Sequential(nn.Conv2d(width, width, 1), nn.GELU(), nn.BatchNorm2d(width))

    def forward(self, x):
        return self.channels(x + self.places(x))


class PatchMixer(nn.Module):
    """A classifier, split at its feature maps.

    Args:
        num_classes: Number of classes C.
        width: Channels K; an option: ``--backbone-opt width=128``.
        half_kernel: The kernels of places have ``2 · half_kernel + 1`` pixels a side.
    """

    taps = ("blocks.0", "blocks.1", "blocks.2", "blocks.3")  # users choose with --tap; optional

    def __init__(self, num_classes, width: Count = 64, half_kernel: Count = 3):
        super().__init__()
        self.patches = nn.Sequential(nn.Conv2d(3, width, 8, stride=8), nn.GELU(), nn.BatchNorm2d(width))
        self.blocks = nn.Sequential(*(Block(width, 2 * half_kernel + 1) for _ in self.taps))
        self.head = nn.Linear(width, num_classes)

    def forward_features(self, images):  # (B, 3, H, W) -> (B, K, h, w)
        return self.blocks(self.patches(images))

    def forward_head(self, features):  # (B, K, h, w) -> logits (B, C)
        return self.head(features.mean(dim=(2, 3)))

    @property
    def classifier_weight(self):  # (C, K), which CAM reads
        return self.head.weight

    def forward_tapped(self, images, visit):  # goes with taps
        return visit_layers(self, images, visit)


@hookimpl
def wsolbench_backbones():
    size = InputConfig(size=96, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    return [BackboneSpec("patch-mixer", PatchMixer, size, "an example, after Trockman & Kolter, 2022")]
