"""The command line: one thin file a verb; each calls one use case and renders its result."""
