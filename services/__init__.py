"""The two functions."""

if __name__ != "bbq.services":
    raise ImportError("import it as bbq.services: under two names a module is loaded twice")
