"""Simulators in processes of their own; ``worker_protocol`` says how they are spoken to.

The files here run under the interpreter that a simulator wants, from Python 3.8 on, with the
standard library and numpy; nothing of this program is imported there. They lie in a folder of
their own because a script's folder is searched first: beside ``engines/mujoco.py`` no script could
import MuJoCo.
"""
