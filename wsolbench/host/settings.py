"""Settings of the process that plugin code may change: read before it runs, compared and put back after it.

All plugins share one process. A change that could move the scores of others is an error that names the plugin; a
harmless change is undone without a word. This catches accidents, not malice.

A setting is read only where its module is loaded. If a plugin loads torch itself, its settings are compared with those
that torch starts with.
"""

from __future__ import annotations

import locale
import os
import random
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import reduce
from typing import Any

from wsolbench.errors import PluginError
from wsolbench.host.provider import Provider, blaming

__all__ = ["SETTINGS", "Setting", "Snapshot", "guarding"]

_UNKNOWN = object()
"""Stands for a value that nobody has read."""


@dataclass(frozen=True, eq=False)
class Setting:
    """One setting.

    Args:
        name: What it is, for messages.
        module: The name of the module that has it.
        read: Module -> value; two values are compared with ``==``.
        restore: Puts a value back: module, value -> anything.
        default: The value with which the module is loaded.
        harmless: Whether it is put back without a word.
        is_draw: Whether it is the state of a random generator; always harmless.
        is_watched: Whether the checks of plugins name a change that is harmless.
    """

    name: str
    module: str
    read: Callable[[Any], Any]
    restore: Callable[[Any, Any], object]
    default: Any = _UNKNOWN
    harmless: bool = False
    is_draw: bool = False
    is_watched: bool = False

    def value(self) -> Any:
        """Return the value, if its module is loaded."""
        module = sys.modules.get(self.module)
        return _UNKNOWN if module is None else self.read(module)


@dataclass(frozen=True)
class Snapshot:
    """The values of all settings at one moment."""

    values: dict[Setting, Any]

    @classmethod
    def take(cls, *, draws: bool) -> Snapshot:
        """Read the settings; the states of the random generators too where `draws` is set."""
        return cls({setting: setting.value() for setting in SETTINGS if draws or not setting.is_draw})

    def restore(self) -> list[str]:
        """Put back what has changed since; return the changes that may move scores, in words."""
        changed = []
        for setting, before, after in self._changes():
            setting.restore(sys.modules[setting.module], before)
            if not (setting.harmless or setting.is_draw):
                changed.append(f"{setting.name} (from {before} to {after})")
        return changed

    def watched_changes(self) -> list[str]:
        """Return the harmless changes since that the checks of plugins name, in words.

        They are those of random generators, numbers of threads, and where modules are looked for.
        """
        return [
            f"{setting.name} (from {before} to {after})" if isinstance(before, int) else setting.name
            for setting, before, after in self._changes()
            if setting.is_draw or setting.is_watched
        ]

    def draws(self) -> dict[str, Any]:
        """Return the states of the random generators by their names, of those whose module is loaded."""
        return {each.name: value for each, value in self.values.items() if each.is_draw and value is not _UNKNOWN}

    def _changes(self) -> Iterator[tuple[Setting, Any, Any]]:
        """Yield the settings that have changed, with their values before and now."""
        for setting, value in self.values.items():
            before, after = setting.default if value is _UNKNOWN else value, setting.value()
            if not (before is _UNKNOWN or after is _UNKNOWN or before == after):
                yield setting, before, after


@contextmanager
def guarding(provider: Provider, doing: str, *, draws: bool = False) -> Iterator[None]:
    """Do what `blaming` does, and refuse a plugin that changes a setting which may move the scores of others.

    Args:
        provider: Whose code runs in the block.
        doing: What it does, to follow "failed" and "changed".
        draws: Whether the random generators get the states back that they had before the block.

    Raises:
        PluginError: The block failed, or changed such a setting, which is put back.
    """
    before = Snapshot.take(draws=draws)
    try:
        with blaming(provider, doing):
            yield
    finally:
        changed = before.restore()
    if changed:
        raise PluginError(f"plugin {provider} changed {', '.join(changed)} {doing}; it has to leave that as it is")


# ------------------------------------------------------------------------------- how settings are read and put back


def _attribute(path: str, default: Any, *, module: str = "torch", harmless: bool = False) -> Setting:
    """Return the setting that is an attribute below a module, such as ``backends.cudnn.benchmark`` of torch."""
    *parents, last = path.split(".")

    def read(module: Any) -> Any:
        try:
            return getattr(reduce(getattr, parents, module), last)
        except (AttributeError, RuntimeError):  # unknown to this version, or set in two ways that contradict each other
            return _UNKNOWN

    def restore(module: Any, value: Any) -> None:
        setattr(reduce(getattr, parents, module), last, value)

    return Setting(f"{module}.{path}", module, read, restore, default, harmless)


def _autocast(device: str) -> Setting:
    return Setting(
        f"autocast of torch on {device}",
        "torch",
        lambda torch: torch.is_autocast_enabled(device),
        lambda torch, enabled: torch.set_autocast_enabled(device, enabled),
        default=False,
    )


def _matmul_precision(torch: Any) -> Any:
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:  # set in two ways that contradict each other
        return "mixed"


_LEFT_MODES: list[Any] = []
"""What switches inference mode off: torch switches it on again when this object is collected."""


def _set_inference_mode(torch: Any, enabled: bool) -> None:
    _LEFT_MODES.append(torch.inference_mode(enabled))
    _LEFT_MODES[-1].__enter__()


def _set_default_device(torch: Any, device: str) -> None:
    torch.set_default_device(None if device == "cpu" else device)  # "cpu" would make every call slower


def _global_hooks(torch: Any) -> dict[str, dict[Any, Any]]:
    return {name: dict(hooks) for name, hooks in _hook_tables(torch) if hooks}


def _set_global_hooks(torch: Any, before: dict[str, dict[Any, Any]]) -> None:
    for name, hooks in _hook_tables(torch):
        hooks.clear()
        hooks.update(before.get(name, {}))


def _hook_tables(torch: Any) -> list[tuple[str, dict[Any, Any]]]:
    tables = vars(torch.nn.modules.module)
    return [(name, tables[name]) for name in tables if name.startswith("_global_") and name.endswith("_hooks")]


def _cwd(os: Any) -> str:
    try:
        return str(os.getcwd())
    except OSError:
        return "a folder that was deleted"


def _chdir(os: Any, folder: str) -> None:
    with suppress(OSError):
        os.chdir(folder)


def _set_environment(os: Any, variables: dict[str, str]) -> None:
    for name in os.environ.keys() - variables.keys():
        del os.environ[name]
    os.environ.update(variables)


def _signal_handlers(signal: Any) -> dict[int, Any]:
    return {number: signal.getsignal(number) for number in _SIGNALS}


def _set_signal_handlers(signal: Any, handlers: dict[int, Any]) -> None:
    for number, handler in handlers.items():
        if handler is not None and signal.getsignal(number) is not handler:
            with suppress(ValueError, OSError):  # only the main thread may
                signal.signal(number, handler)


def _set_streams(sys: Any, streams: tuple[Any, Any, Any]) -> None:
    sys.stdin, sys.stdout, sys.stderr = streams


def _set_search_path(sys: Any, path: list[str]) -> None:
    sys.path[:] = path


def _set_locale(locale: Any, name: str) -> None:
    with suppress(locale.Error):
        locale.setlocale(locale.LC_ALL, name)


def _set_warning_filters(warnings: Any, filters: list[Any]) -> None:
    warnings.filters[:] = filters
    with warnings.catch_warnings():  # makes Python forget which warnings the other filters let pass
        pass


def _numpy_draws(numpy: Any) -> tuple[Any, ...]:
    name, keys, *rest = numpy.random.get_state()
    return name, keys.tobytes(), *rest


def _set_numpy_draws(numpy: Any, state: tuple[Any, ...]) -> None:
    name, keys, *rest = state
    numpy.random.set_state((name, numpy.frombuffer(keys, dtype=numpy.uint32), *rest))


def _torch_draws(torch: Any) -> list[bytes]:
    on_gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return [state.numpy().tobytes() for state in (torch.get_rng_state(), *on_gpus)]


def _set_torch_draws(torch: Any, states: list[bytes]) -> None:
    cpu, *gpus = (torch.frombuffer(bytearray(state), dtype=torch.uint8) for state in states)
    torch.set_rng_state(cpu)
    if gpus:
        torch.cuda.set_rng_state_all(gpus)


_SIGNALS = [
    vars(signal)[name] for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGALRM", "SIGCHLD") if hasattr(signal, name)
]
_MATMUL_DEFAULT = _UNKNOWN if "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE" in os.environ else "highest"
_PILLOW_LIMIT = 1024**3 // 4 // 3

SETTINGS: tuple[Setting, ...] = (
    Setting("the working directory", os.__name__, _cwd, _chdir),
    Setting(
        "torch's default dtype",
        "torch",
        lambda torch: str(torch.get_default_dtype()).removeprefix("torch."),
        lambda torch, name: torch.set_default_dtype(getattr(torch, name)),
        default="float32",
    ),
    Setting(
        "torch's default device",
        "torch",
        lambda torch: str(torch.get_default_device()),
        _set_default_device,
        default="cpu",
    ),
    Setting(
        "inference mode of torch",
        "torch",
        lambda torch: torch.is_inference_mode_enabled(),
        _set_inference_mode,
        default=False,
    ),
    Setting(
        "gradient mode of torch",
        "torch",
        lambda torch: torch.is_grad_enabled(),
        lambda torch, enabled: torch.set_grad_enabled(enabled),
        default=True,
    ),
    _autocast("cpu"),
    _autocast("cuda"),
    Setting(
        "deterministic algorithms of torch",
        "torch",
        lambda torch: (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        ),
        lambda torch, modes: torch.use_deterministic_algorithms(modes[0], warn_only=modes[1]),
        default=(False, False),
    ),
    Setting(
        "the precision of torch's matrix products",
        "torch",
        _matmul_precision,
        lambda torch, precision: torch.set_float32_matmul_precision(precision),
        default=_MATMUL_DEFAULT,
    ),
    _attribute("backends.mkldnn.enabled", True),
    _attribute("backends.mkldnn.matmul.fp32_precision", "none"),
    _attribute("backends.mkldnn.conv.fp32_precision", "none"),
    _attribute("backends.cudnn.enabled", True),
    _attribute("backends.cudnn.benchmark", False),
    _attribute("backends.cudnn.deterministic", False),
    _attribute("backends.cudnn.allow_tf32", True),
    _attribute("backends.cuda.matmul.allow_tf32", _UNKNOWN if _MATMUL_DEFAULT is _UNKNOWN else False),
    Setting("hooks on all torch modules", "torch", _global_hooks, _set_global_hooks, default={}),
    Setting(
        "torch's threads",
        "torch",
        lambda torch: torch.get_num_threads(),
        lambda torch, count: torch.set_num_threads(count),
        harmless=True,
        is_watched=True,
    ),
    Setting(
        "OpenCV's threads",
        "cv2",
        lambda cv2: cv2.getNumThreads(),
        lambda cv2, n: cv2.setNumThreads(n),
        harmless=True,
        is_watched=True,
    ),
    Setting(
        "optimised code of OpenCV",
        "cv2",
        lambda cv2: cv2.useOptimized(),
        lambda cv2, used: cv2.setUseOptimized(used),
        default=True,
        harmless=True,
    ),
    _attribute("LOAD_TRUNCATED_IMAGES", False, module="PIL.ImageFile", harmless=True),
    _attribute("MAX_IMAGE_PIXELS", _PILLOW_LIMIT, module="PIL.Image", harmless=True),
    Setting(
        "floating-point errors of NumPy",
        "numpy",
        lambda numpy: numpy.geterr(),
        lambda numpy, handling: numpy.seterr(**handling),
        harmless=True,
    ),
    Setting("environment variables", os.__name__, lambda os: dict(os.environ), _set_environment, harmless=True),
    Setting("signal handlers", signal.__name__, _signal_handlers, _set_signal_handlers, harmless=True),
    Setting(
        "standard streams",
        sys.__name__,
        lambda sys: (sys.stdin, sys.stdout, sys.stderr),
        _set_streams,
        harmless=True,
    ),
    Setting(
        "the recursion limit",
        sys.__name__,
        lambda sys: sys.getrecursionlimit(),
        lambda sys, limit: sys.setrecursionlimit(limit),
        harmless=True,
    ),
    Setting(
        "where modules are looked for",
        sys.__name__,
        lambda sys: list(sys.path),
        _set_search_path,
        harmless=True,
        is_watched=True,
    ),
    Setting("the locale", locale.__name__, lambda locale: locale.setlocale(locale.LC_ALL), _set_locale, harmless=True),
    Setting(
        "warning filters",
        warnings.__name__,
        lambda warnings: list(warnings.filters),
        _set_warning_filters,
        harmless=True,
    ),
    Setting(
        "the random generator of random",
        random.__name__,
        lambda random: random.getstate(),
        lambda random, state: random.setstate(state),
        is_draw=True,
    ),
    Setting("the random generator of NumPy", "numpy", _numpy_draws, _set_numpy_draws, is_draw=True),
    Setting("the random generator of torch", "torch", _torch_draws, _set_torch_draws, is_draw=True),
)
