"""C sources of the crew and the ABI of a model object; package data, no Python."""
