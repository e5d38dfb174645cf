"""What stands behind the pipeline: options flattened into signatures, files in and out, progress, long runs."""
