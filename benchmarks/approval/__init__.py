"""The approval page with 10,000 series: how long a reviewer waits for the page."""
