"""The shape each API gives to what the stub provider does: one function per endpoint."""
