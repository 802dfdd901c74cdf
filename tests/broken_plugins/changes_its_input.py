"""A method that changes the features that it is given."""

from wsolbench.api import MethodSpec, hookimpl


def localize(features, _):
    return features.abs_().mean(dim=1)


@hookimpl
def wsolbench_methods():
    return [MethodSpec("changes-its-input", lambda: localize, "nobody")]
