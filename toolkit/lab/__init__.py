"""Boards that are not here: real SSH servers in front of aarch64 systems, each a process tree of its own."""
