"""A method with the name of another one."""

from wsolbench.api import MethodSpec, hookimpl


def localize(features, _):
    return features.mean(dim=1)


@hookimpl
def wsolbench_methods():
    return [MethodSpec("cam", lambda: localize, "nobody")]
