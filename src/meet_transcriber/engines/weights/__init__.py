"""Model weights: known by digest, kept in one folder, fetched from the hub or a package index."""
