"""Records of networks that exist on paper only: enough for tables, figures and names of files."""

from toy_records import ENVIRONMENT, PROTOCOL, make_record

from wsolbench.records import BackboneInfo, MethodInfo, Preprocessing, WeightsInfo

METHOD = MethodInfo(name="cam", provider="toys 1 'cam'", options={}, changed_options={}, reads_network=True)


def trained_record(name="toy", *, shift=0, weights=0, dataset="birds", method=METHOD, **outcomes):
    """Return a record of a network whose weights are known by their hash.

    Args:
        name: Of the network, whose size depends on it.
        shift: Another one gives other scores.
        weights: Another number gives other weights.
        dataset: Its name.
        method: The method.
        outcomes: What `make_record` takes of outcomes, and of what follows from them.
    """
    protocol = PROTOCOL.model_copy(update={"target": "gt"})
    backbone = BackboneInfo(
        **{"requested": "toy", "name": name, "family": None, "provider": "toys 1 'toy'"},
        **{
            "parameters": 10**6 * sum(name.encode()),
            "largest_kernel": 3,
            "reparameterized": False,
            "feature_shape": (8, 7, 7),
        },
        weights=WeightsInfo(source="file", file="toy.pth", sha256=f"{weights:064x}"),
        preprocessing=Preprocessing(size=64, mean=(0.5,) * 3, std=(0.5,) * 3, interpolation="bilinear"),
    )
    environment = ENVIRONMENT.model_copy(update={"seed": 0})
    parts = {"protocol": protocol, "backbone": backbone, "method": method, "environment": environment}
    record = make_record(shift, **parts, **outcomes)
    return record.model_copy(update={"dataset": record.dataset.model_copy(update={"name": dataset})})
