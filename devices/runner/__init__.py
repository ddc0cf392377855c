"""C sources of the program that runs models on a device; package data, no Python."""
