"""Engines that cost time instead of computing, for workers that run as real processes."""
