"""Analyses of networks and of records: what is measured besides localization, and what it says."""
