"""The known formats, one file a layout.

Every module here that has `FORMATS`, a tuple of `motions.robot.formats.format.Format`, is found by
itself: a new format is a new file, and no table is edited.
"""
