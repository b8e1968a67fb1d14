"""What two of `services/intake`, `services/scheduler` and `cli` use."""

if __name__ != "bbq.shared":
    raise ImportError("import it as bbq.shared: under two names a module is loaded twice")
