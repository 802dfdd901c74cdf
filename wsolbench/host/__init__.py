"""The plugin host: finds plugins, contains their failures, resolves names."""
