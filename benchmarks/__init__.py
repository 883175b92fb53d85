"""Commands that measure: each prints a table and writes build/reports/NAME.json."""
