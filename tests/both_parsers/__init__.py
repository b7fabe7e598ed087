"""What both parsers must do alike, and what Tornado's own must do as llhttp does."""
