"""The dashboards drawn by Grafana's own libraries, from real stores; facts of the page are asserted."""
