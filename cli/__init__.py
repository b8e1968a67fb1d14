"""The operator's tools. A package with a file of its own because python-hcl2 installs one that is called `cli` too."""
