"""A plugin with a hook that nobody calls."""

from wsolbench.api import MethodSpec, hookimpl


def localize(features, _):
    return features.mean(dim=1)


@hookimpl
def wsolbench_method():
    return [MethodSpec("misspelt-hook", lambda: localize, "nobody")]
