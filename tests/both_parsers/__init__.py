"""What both parsers must do alike, and what llhttp must do as Tornado's own does."""
