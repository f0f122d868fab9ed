"""Where secrets are kept outside the environment: mounted files and managers."""
