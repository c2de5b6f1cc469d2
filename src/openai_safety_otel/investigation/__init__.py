"""From an identifier back to a person and his calls; every look is written to the audit trail first."""
