"""``gradcam:NAME``: the CAM classes of the package ``grad-cam`` (Gildenblat et al., pytorch-grad-cam) on our features.

The package is an optional extra, ``pip install 'wsolbench[gradcam]'``, and is imported only when the prefix is used.
The maps are those of the package, which do not always follow the paper of a method: if features can be negative, its
AblationCAM replaces a channel by a huge negative number, not by 0. EigenCAM's sign is arbitrary, as that of any
singular vector. ScoreCAM runs the whole network once for every channel of every image; AblationCAM runs the head.
"""

from __future__ import annotations

from collections.abc import Collection

from wsolbench.api import MethodSpec, MethodZoo, UsageError, hookimpl


@hookimpl
def wsolbench_methods() -> list[MethodSpec | MethodZoo]:
    """Offer the package's classes."""
    return [MethodZoo("gradcam", _names, _find, "the package grad-cam's classes for one layer, such as ScoreCAM")]


def _names() -> Collection[str]:
    try:
        from wsolbench_plugins.methods.gradcam_package import adapter
    except ImportError as error:
        missing = error.name or str(error)
        raise UsageError(
            f"gradcam:NAME needs the package grad-cam ({missing} is not installed): pip install 'wsolbench[gradcam]'"
        ) from error
    return adapter.names()


def _find(name: str) -> MethodSpec:
    from wsolbench_plugins.methods.gradcam_package import adapter

    return adapter.find(name)
