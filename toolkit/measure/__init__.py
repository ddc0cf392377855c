"""Staging, running, checking and recording: no check, no number."""
