"""Logs, metrics, traces and GPU memory."""
