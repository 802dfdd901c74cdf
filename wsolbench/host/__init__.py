"""The plugin host: finds plugins, keeps each failure to itself, resolves names."""
