"""Whether a robot could do what a reference asks for: inverse dynamics, contacts, balance."""

from retarget.dynamics.feasibility import DynamicsSettings, Feasibility, check_dynamics

__all__ = ["DynamicsSettings", "Feasibility", "check_dynamics"]
