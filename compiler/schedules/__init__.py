"""Schedule tables, one a CPU that code is generated for; package data, no Python. `docs/tuning.md` says how they come about."""
