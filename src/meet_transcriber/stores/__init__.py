"""Stores of jobs and objects."""
