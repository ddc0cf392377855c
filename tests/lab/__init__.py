"""Boards that are not here: real SSH servers in front of an aarch64 system, each a process tree of its own."""
