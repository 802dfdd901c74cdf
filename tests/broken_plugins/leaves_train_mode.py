"""A network that is in train mode after a forward pass, and one whose method switches its mode."""

from torch import nn

from wsolbench.api import BackboneSpec, InputConfig, MethodSpec, hookimpl


class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 8, stride=8)
        self.head = nn.Linear(8, num_classes)

    def forward_features(self, images):
        self.train()
        return self.conv(images).relu()

    def forward_head(self, features):
        return self.head(features.mean(dim=(2, 3)))

    @property
    def classifier_weight(self):
        return self.head.weight


def localize(features, context):
    context.backbone.conv.train()
    return features.mean(dim=1)


@hookimpl
def wsolbench_backbones():
    return [BackboneSpec("leaves-train-mode", Net, InputConfig(size=32), "nobody")]


@hookimpl
def wsolbench_methods():
    return [MethodSpec("sets-train-mode", lambda: localize, "nobody")]
