"""A board that is here in full: a real arm64 kernel with its SSH server, under QEMU's system emulator."""
