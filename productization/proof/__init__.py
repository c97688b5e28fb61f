"""What evidence is and how it is judged. Reads the project's files and what was recorded; no Django, no database."""
