"""The one name under which the code is imported, in a clone, in the functions' zips and where pip
installs it: `bbq.cli`, `bbq.services`, `bbq.shared`. In a clone these are links to the folders of
the repository; a zip or wheel holds the files.
"""
