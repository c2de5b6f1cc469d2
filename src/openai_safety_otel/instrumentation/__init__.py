"""What runs inside the app: from the hook on the SDK to spans, metrics and events."""
