"""A plugin that fails when it is imported."""


def read_settings():
    return {}["home"]


HOME = read_settings()
