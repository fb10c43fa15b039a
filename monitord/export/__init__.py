"""An incident, or a table of them, in the shapes that leave monitord: stable keys, redacted by default."""
