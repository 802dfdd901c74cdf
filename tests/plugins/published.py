"""Outputs of the reference code, and how they are compared; see ``systems/README.md`` of the shared data."""

import json

import numpy as np
import torch
from reference_fill import filled

LABELS = torch.tensor([1, 3])


class Published:
    """The outputs of one network or layer.

    Args:
        folder: The shared data.
        name: Such as ``resnet50_acol``.
    """

    def __init__(self, folder, name):
        self.arrays = np.load(folder / "systems" / f"{name}.npz")
        keys = folder / "systems" / "keys" / f"{name}.json"
        self.keys = json.loads(keys.read_text(encoding="utf-8")) if keys.exists() else {}

    def __getitem__(self, name):
        return torch.from_numpy(self.arrays[name])

    def __contains__(self, name):
        return name in self.arrays.files or f"{name}__sample" in self.arrays.files

    def weights(self):
        """Return the reference's state dict with its reproducible values."""
        entries = filled({key: torch.empty(shape) for key, shape in self.keys.items() if shape or "batches" not in key})
        return {key: entries.get(key, torch.tensor(0)) for key in self.keys}

    def images(self):
        """Return the images (2, 3, 64, 64)."""
        i = np.arange(2 * 3 * 64 * 64, dtype=np.float64)
        waves = float(self.arrays["input_amplitude"]) * (np.sin(0.05 * i) + np.sin(0.0007 * i) + np.cos(0.31 * i))
        return torch.from_numpy(waves.astype(np.float32).reshape(2, 3, 64, 64))

    def agrees(self, name, ours, tolerance):
        """Check an array of ours, of which the file may hold a sample only."""
        ours = ours.detach().double().numpy()
        if f"{name}__sample" in self.arrays.files:
            assert ours.shape == tuple(self.arrays[f"{name}__shape"])
            ours, theirs = ours.reshape(-1)[:: int(self.arrays[f"{name}__stride"])], self.arrays[f"{name}__sample"]
        else:
            theirs = self.arrays[name]
        assert ours.shape == theirs.shape, name
        deviation = np.abs(ours - theirs).max() / np.abs(theirs).max()
        assert deviation <= tolerance, f"{name}: {deviation:.1e} of its largest value"
        return True

    def same_gradients(self, network, convert, tolerance=5e-2, name="train_grad_l2"):
        """Check the norm of the gradient of every parameter, in the order of the reference."""
        own = dict(network.named_parameters())
        names = [key for key in self.keys if not key.endswith(("running_mean", "running_var", "num_batches_tracked"))]
        entries = dict(zip(convert(self.weights()), self.keys, strict=False))
        ours = {theirs: key for key, theirs in entries.items()}
        assert {ours[each] for each in names} == own.keys()
        return self.agrees(name, torch.stack([own[ours[each]].grad.norm() for each in names]), tolerance)


@torch.no_grad()
def agrees_at_test_time(network, published):
    """Check logits and maps of a network with the classifier of the reference's CAM.

    The reference gives the mean over the channels, without the bias; of Inception-v3 it gives its convolution's maps.
    """
    features = network.forward_features(published.images())
    assert published.agrees("eval_logits", network.forward_head(features), 1e-4)
    weighted = network.classifier_weight[LABELS][:, :, None, None] * features
    inception = hasattr(network, "SPG_A4")
    maps = weighted.sum(dim=1) + network.SPG_A4.bias[LABELS][:, None, None] if inception else weighted.mean(dim=1)
    assert published.agrees("eval_map", maps, 1e-4)
