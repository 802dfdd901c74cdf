"""A new distribution for a plugin: complete, typed and tested, for its author to edit."""

from wsolbench.scaffold.names import Names
from wsolbench.scaffold.project import Kind, project_files, write_project

__all__ = ["Kind", "Names", "project_files", "write_project"]
