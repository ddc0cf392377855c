"""What a person runs: command line, measurement, reports."""
