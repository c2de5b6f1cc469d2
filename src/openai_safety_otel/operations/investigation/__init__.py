"""From an identifier back to a person and their calls; every look is written to the audit trail first."""
