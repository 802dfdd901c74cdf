"""What measured figures depend on: versions, processor, and how busy the machine was."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import version
from pathlib import Path


def conditions(*distributions: str) -> str:
    """Return the versions of some distributions and of Python, the processor and the load average in one line."""
    versions = [f"{name} {version(name)}" for name in distributions]
    cpu_info = Path("/proc/cpuinfo")
    named = re.search(r"model name\s*: (.*)", cpu_info.read_text()) if cpu_info.exists() else None
    processor = f"{named[1] if named else platform.processor()} ({os.cpu_count()} cores)"
    load = "load average " + " ".join(f"{value:.1f}" for value in os.getloadavg())
    return ", ".join([*versions, f"Python {platform.python_version()}", processor, load])
