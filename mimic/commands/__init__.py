"""The subcommands of ``mimic``, one file each.

A module at this level imports nothing heavy: torch and MuJoCo are loaded by the command that
needs them.
"""
