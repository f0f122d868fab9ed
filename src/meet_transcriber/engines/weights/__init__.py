"""Weights: known by their digests, kept in one folder, fetched from wherever they can be had."""
