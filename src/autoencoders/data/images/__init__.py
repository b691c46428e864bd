"""Images in files and arrays: where they are, what their names say, how they are decoded."""
