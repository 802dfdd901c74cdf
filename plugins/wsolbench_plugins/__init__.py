"""First-party plugins of wsolbench. Each imports `wsolbench.api` and libraries, never a sibling."""
