"""The methods of motion imitation that `mimic compare methods` trains, as data."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mimic_base.errors import MimicError


@dataclass(frozen=True, kw_only=True)
class Method:
    """What one row of the comparison trains."""

    task: str
    """Task, by its name or as ``package.module:function``."""
    algorithm: str
    """Algorithm, likewise."""
    about: str
    """The method in a line, and its paper."""
    options: tuple[str, ...] = ()
    """Further options of `mimic train`."""
    teacher: str = ""
    """The method whose run of the same seed is its teacher (``--teacher``); it is trained first."""
    teacher_as: str = "--teacher"
    """The option by which it is given that run."""
    motions: bool = True
    """Whether the clips are given to it (``--motion``)."""


METHODS: Mapping[str, Method] = {
    "ppo": Method(
        task="tracking", algorithm="ppo",
        about="PPO on BeyondMimic's kernels (arXiv 1707.06347, 2508.08241)",
    ),
    "deepmimic": Method(
        task="deepmimic", algorithm="ppo",
        about="PPO on five kernels of summed errors (arXiv 1804.02717, as in MimicKit)",
    ),
    "lcp": Method(
        task="tracking", algorithm="lcp",
        about="a Lipschitz penalty instead of rewards for smoothness (arXiv 2410.11825)",
    ),
    "awr": Method(
        task="tracking", algorithm="awr",
        about="advantage-weighted regression, replayed (arXiv 1910.00177)",
    ),
    "fast-td3": Method(
        task="tracking", algorithm="fast-td3",
        about="off-policy, distributional twin critics (arXiv 2505.22642)",
    ),
    "fast-sac": Method(
        task="tracking", algorithm="fast-sac",
        about="off-policy, stochastic policy (arXiv 2512.01996)",
    ),
    "amp": Method(
        task="heading-privileged", algorithm="amp",
        about="a discriminator of windows of motion beside the task's reward (arXiv 2104.02180)",
    ),
    "velocity": Method(
        task="heading-privileged", algorithm="ppo",
        about="a reward for velocity alone, beside which the gait of motion priors is seen",
    ),
    "gail": Method(
        task="heading-privileged", algorithm="gail",
        about="a discriminator of transitions, its reward alone (arXiv 1606.03476, 1807.06158)",
    ),
    "add": Method(
        task="tracking", algorithm="add",
        about="a discriminator of differences instead of kernels (arXiv 2505.04961)",
    ),
    "ase": Method(
        task="skills", algorithm="ase",
        about="latent skills that an encoder tells apart (arXiv 2205.01906)",
    ),
    "ase-reach": Method(
        task="reach", algorithm="ppo", teacher="ase", teacher_as="--skills",
        about="a policy that reaches by choosing among its skills (arXiv 2205.01906)",
    ),
    "smp": Method(
        task="heading-privileged", algorithm="smp",
        about="a frozen diffusion model of motion as the reward, after MimicKit",
    ),
    "world-model": Method(
        task="tracking", algorithm="world-model",
        about="a learned model of the robot, policy by its gradient (arXiv 2610.28480)",
    ),
    "world-model-amp": Method(
        task="heading-privileged", algorithm="world-model-amp",
        about="AMP's discriminator, climbed through a learned model (arXiv 2104.02180)",
    ),
    "world-model-add": Method(
        task="tracking", algorithm="world-model-add",
        about="ADD's discriminator, climbed through a learned model (arXiv 2505.04961)",
    ),
    "world-model-smp": Method(
        task="heading-privileged", algorithm="world-model-smp",
        about="a frozen density of the clips as the reward, climbed through a learned model",
    ),
    "exbody": Method(
        task="exbody", algorithm="ppo",
        about="upper body as the clip, legs by the root's command (arXiv 2402.16796)",
    ),
    "teacher": Method(
        task="tracking-teacher", algorithm="ppo", about="PPO that sees what a robot cannot measure",
    ),
    "dagger": Method(
        task="tracking-student", algorithm="dagger", teacher="teacher",
        about="a student of it that sees what a robot measures (arXiv 1011.0686, 2406.08858)",
    ),
}  # fmt: skip
"""Methods by name; one entry is all that a further one needs."""


def methods_of(names: tuple[str, ...]) -> dict[str, Method]:
    """Methods by their names, each after its teacher; all of them without names.

    Raises:
        MimicError: an unknown name.
    """
    from mimic.configuration import nearest

    found: dict[str, Method] = {}
    for name in names or tuple(METHODS):
        if name not in METHODS:
            raise MimicError(
                f"unknown method '{name}'{nearest(name, list(METHODS))}; known: "
                f"{', '.join(METHODS)}"
            )
        teacher = METHODS[name].teacher
        if teacher:
            found.setdefault(teacher, METHODS[teacher])
        found[name] = METHODS[name]
    return found


@dataclass(frozen=True)
class Budget:
    """How long each run trains."""

    kind: Literal["samples", "minutes"]
    """Control steps of all environments together; or minutes of CPU time (of the clock, where
    the training is on a GPU), judgements not counted."""
    amount: float

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read ``samples=N`` or ``minutes=M``.

        Raises:
            MimicError: something else, or nothing at all.
        """
        kind, _, number = text.partition("=")
        try:
            amount = float(number)
        except ValueError:
            amount = 0.0
        if kind not in ("samples", "minutes") or not 0 < amount < float("inf"):
            raise MimicError(
                f"--budget: found '{text[:60]}', expected samples=N or minutes=M above zero; for "
                "example minutes=15"
            )
        return cls("samples" if kind == "samples" else "minutes", amount)

    def __str__(self) -> str:
        return f"{self.kind}={self.amount:g}"

    def share(self, samples: int, seconds: float) -> float:
        """How much of it is used up."""
        used = samples if self.kind == "samples" else seconds / 60.0
        return used / self.amount


def words_of(
    method: Method, *, motions: tuple[Path, ...], preset: str, robot: str, engine: str, device: str,
    seed: int, out: Path, episodes: int, further: tuple[str, ...] = (), teacher: Path | None = None,
) -> list[str]:  # fmt: skip
    """The arguments of `mimic train` that begin a run of a method."""
    words = [method.task, "--algorithm", method.algorithm, "--preset", preset]
    if method.motions:
        words += ["--motion", *(str(each) for each in motions)]
    words += ["--robot", robot, "--engine", engine, "--device", device, "--seed", str(seed)]
    words += ["--out", str(out), *common_words(episodes)]
    if teacher is not None:
        words += [method.teacher_as, str(teacher)]
    return [*words, *method.options, *further]


def common_words(episodes: int) -> list[str]:
    """Arguments of `mimic train` that begin a run and let it go on."""
    # The budget ends it, and the comparison says when it is judged.
    return ["--judge-every", "1", "--judge-episodes", str(episodes),
            "--loop.iterations", "100000000"]  # fmt: skip


def content_of(files: Sequence[os.PathLike[str]]) -> str:
    """A hash of the clips that are compared on; of clips in a pack, of their names alone."""
    digest = hashlib.sha256()
    for file in files:
        path = Path(os.fspath(file))
        digest.update(path.name.encode())
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def first_reaching(judged: list[dict[str, Any]], share: float) -> dict[str, Any] | None:
    """The first judgement in which that share of the episodes succeeds."""
    return next((each for each in judged if each["success"] >= share), None)
