"""``gradcam:NAME``: the CAM classes of the package ``grad-cam`` (Gildenblat et al., pytorch-grad-cam) on our features.

The package is an optional extra, ``pip install 'wsolbench[gradcam]'``, and is imported when somebody types the prefix.
What is measured is what the package does, which is not always what the paper of a method says: where features can be
negative, its AblationCAM puts a huge negative number in place of the channel left out, and not 0. EigenCAM's sign is
arbitrary, as that of any singular vector. ScoreCAM runs the whole network once for every channel of every image, and
AblationCAM the head.
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
