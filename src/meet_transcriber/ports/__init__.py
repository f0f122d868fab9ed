"""What the pipeline and the service ask of the outside world; adapters answer."""
