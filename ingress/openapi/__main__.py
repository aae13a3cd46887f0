"""Writes the document into its file."""

from ingress.openapi.document import PATH, render

if __name__ == "__main__":
    PATH.write_text(render())
