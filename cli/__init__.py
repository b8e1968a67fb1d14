"""`bbq`, the command-line tool, and the operator's tools that it is made of."""

if __name__ != "bbq.cli":
    raise ImportError("import it as bbq.cli: under two names a module is loaded twice")
