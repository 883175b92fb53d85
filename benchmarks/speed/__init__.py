"""How fast, small and cheap docwell is, beside what people would use instead: ``make bench``."""
