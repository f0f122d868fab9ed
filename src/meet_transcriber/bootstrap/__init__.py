"""Builds services from settings; the only package that imports adapters."""
