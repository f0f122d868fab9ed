"""Settings to working parts; the only package that names adapters."""
