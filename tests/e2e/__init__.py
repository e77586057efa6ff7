"""End to end: the page in a real browser, and the page's own modules."""
