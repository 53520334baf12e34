"""An engine in another process is the one in this; what goes wrong there is one line here."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from mimic.sim import Engine, EngineError, make_engine
from mimic.sim.engines import remote
from mimic.sim.engines.remote import WORKERS, RemoteEngine
from mimic.sim.objects import ObjectConfig, vary_object
from mimic.sim.scene import ContactConfig, Scene, SceneConfig, make_scene
from mimic.sim.terrain import Slope
from mimic.sim.workers.isaacgym_worker import columns, floating_base, root_state
from robots import Robot
from tests.sim.engines import standing, wandering_targets

MEMORY = Path("/dev/shm")
HALF = np.sqrt(0.5)


def blocks() -> set[str]:
    return {path.name for path in MEMORY.glob("mimic_*")}


@pytest.fixture(scope="module")
def scene(tiny: Robot) -> Scene:
    box = ObjectConfig(size=(0.1, 0.1, 0.1), pos=(0.5, 0.0, 0.2))
    contacts = {"box_floor": ContactConfig(body="box", other="terrain")}
    return make_scene(
        tiny, SceneConfig(terrain=Slope(angle=0.1), objects={"box": box}, contacts=contacts)
    )


def worker(folder: Path, body: str) -> Path:
    """A worker that is the stand-in with something changed."""
    path = folder / "worker.py"
    path.write_text(
        f"import os, sys, time\nsys.path.insert(0, {str(WORKERS)!r})\n"
        "import worker_protocol\nfrom worker_protocol import serve\n"
        f"from mujoco_worker import MujocoSimulator\n{body}\n"
    )
    return path


def test_it_is_the_engine_in_this_process(scene: Scene) -> None:
    before = blocks()
    ours, other = (make_engine(name, scene, 3, threads=1) for name in ("mujoco", "remote"))
    assert isinstance(other, Engine) and other.name == "remote" and blocks() - before
    engines = (ours, other)
    assert torch.equal(ours.qpos, other.qpos)
    robot_qpos, robot_qvel = standing(scene.robot, 2, noise=0.2)
    for engine in engines:
        vary_object(engine, "box", torch.tensor([1]), mass=torch.tensor([3.0]))
        engine.reset_to(
            torch.tensor([2, 0]),
            root_pos_w=robot_qpos[:, :3], root_quat_w=robot_qpos[:, 3:7],
            joint_pos=robot_qpos[:, 7:], root_lin_vel_w=robot_qvel[:, :3],
            root_ang_vel_b=robot_qvel[:, 3:6], joint_vel=robot_qvel[:, 6:],
        )  # fmt: skip
    for step, targets in enumerate(wandering_targets(scene.robot, 3, 12, 0.3)):
        for engine in engines:
            if step == 6:
                ids = torch.tensor([1])
                engine.set_root_velocity(ids, torch.full((1, 3), 0.5), torch.zeros(1, 3))
            engine.step(targets)
    for name in ("qpos", "qvel", "body_pos_w", "body_lin_vel_w", "contact_force"):
        assert torch.equal(getattr(ours, name), getattr(other, name)), name
    for name, contact in ours.state.contacts.items():
        assert torch.equal(contact.force, other.state.contacts[name].force), name
    assert ours.state.contacts["box_floor"].force.any()
    assert torch.equal(ours.state.objects["box"].pos_w, other.state.objects["box"].pos_w)
    assert torch.equal(ours.model_field("body_mass"), other.model_field("body_mass"))
    with pytest.raises(EngineError, match="engine 'remote' cannot vary the model field 'opt'"):
        other.model_field("opt")
    other.close()
    assert blocks() == before
    with pytest.raises(EngineError, match="engine 'remote' has been closed"):
        other.step(torch.zeros(3, 4))
    other.close()


def test_a_collected_engine_leaves_nothing(tiny_scene: Scene) -> None:
    before = blocks()
    engine = make_engine("remote", tiny_scene, 1)
    assert isinstance(engine, RemoteEngine)
    process, folder = engine._process, engine._folder
    assert folder.is_dir()
    del engine
    import gc

    gc.collect()
    assert blocks() == before and process.poll() is not None and not folder.exists()


def test_a_worker_that_dies_is_one_line(tiny_scene: Scene) -> None:
    before = blocks()
    engine = make_engine("remote", tiny_scene, 1)
    assert isinstance(engine, RemoteEngine)
    engine.step(torch.zeros(1, 4))
    os.kill(engine._process.pid, signal.SIGKILL)
    with pytest.raises(EngineError, match="worker ended at 'step' with exit code -9") as caught:
        engine.step(torch.zeros(1, 4))
    assert "\n" not in str(caught.value) and blocks() == before


def test_its_last_words_are_told(tiny_scene: Scene, tmp_path: Path) -> None:
    path = worker(
        tmp_path,
        "class Dying(MujocoSimulator):\n"
        "    def step(self):\n"
        "        print('chatter of a simulator', flush=True)\n"
        "        print('out of licence', file=sys.stderr, flush=True)\n"
        "        os._exit(7)\n"
        "sys.exit(serve(Dying, 'dying'))",
    )
    engine = make_engine(f"remote:worker={path}", tiny_scene, 1)
    with pytest.raises(EngineError, match="exit code 7; its last words: out of licence"):
        engine.step(torch.zeros(1, 4))


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("worker_protocol.VERSION = 99\nsys.exit(serve(MujocoSimulator, 'new'))",
         "worker 'worker.py' speaks protocol 99, this program 1"),
        ("raise SystemExit(3)", "the worker ended at 'start' with exit code 3"),
        ("print('hello', flush=True); time.sleep(9)",
         "answered 'start' by no JSON object: b'hello'"),
        ("def make(): raise RuntimeError('no\\ngpu')\nsys.exit(serve(make, 'x'))",
         "engine 'remote': RuntimeError: no gpu"),
        ("class Bad(MujocoSimulator):\n  def open(self, request): raise KeyError('mesh')\n"
         "sys.exit(serve(Bad, 'x'))", "engine 'remote': KeyError: 'mesh'"),
        ("time.sleep(60)", "has not answered 'start' within 1 s and was ended"),
    ],
)  # fmt: skip
def test_workers_that_cannot_be_used(
    body: str, told: str, tiny_scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = blocks()
    if "sleep(60)" in body:
        monkeypatch.setattr(remote, "START_S", 1.0)
    with pytest.raises(EngineError) as caught:
        RemoteEngine(tiny_scene, 1, worker=worker(tmp_path, body))
    assert told in str(caught.value) and "\n" not in str(caught.value)
    assert blocks() == before


def test_an_error_in_a_step_does_not_end_the_worker(tiny_scene: Scene, tmp_path: Path) -> None:
    path = worker(
        tmp_path,
        "class Once(MujocoSimulator):\n"
        "    failed = False\n"
        "    def step(self):\n"
        "        if not self.failed:\n"
        "            self.failed = True\n"
        "            raise ValueError('once')\n"
        "        super().step()\n"
        "sys.exit(serve(Once, 'once'))",
    )
    engine = RemoteEngine(tiny_scene, 1, worker=path)
    with pytest.raises(EngineError, match="ValueError: once"):
        engine.step(torch.zeros(1, 4))
    engine.step(torch.zeros(1, 4))
    engine.close()


def test_wrong_options(tiny_scene: Scene) -> None:
    with pytest.raises(EngineError, match="worker 'nowhere.py' does not exist"):
        make_engine("remote:worker=nowhere.py", tiny_scene, 1)
    with pytest.raises(EngineError, match="python '/no/python' is not a program"):
        make_engine("remote:python=/no/python", tiny_scene, 1)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_program_leaves_neither_worker_nor_memory(how: signal.Signals) -> None:
    script = (
        "import time, robots; from mimic.sim import make_engine; "
        "from mimic.sim.scene import make_scene; "
        "e = make_engine('remote', make_scene(robots.load('tests/robots/tiny.toml')), 1); "
        "print(e._process.pid, e._block.name, flush=True); time.sleep(60)"
    )
    root = Path(__file__).resolve().parents[2]
    child = subprocess.Popen(
        [sys.executable, "-c", script], cwd=root, stdout=subprocess.PIPE, text=True,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert child.stdout is not None
    pid, name = child.stdout.readline().split()
    child.send_signal(how)
    child.wait()
    child.stdout.close()
    end = time.monotonic() + 20.0
    while time.monotonic() < end:
        alive = Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text()
        if not alive and not (MEMORY / name).exists():
            return
        time.sleep(0.1)
    pytest.fail(f"worker {pid} or memory {name} outlives the program")


@pytest.mark.parametrize("file", sorted(WORKERS.glob("*.py")), ids=lambda path: path.name)
def test_workers_are_python_3_8_and_import_nothing_of_ours(file: Path) -> None:
    tree = ast.parse(file.read_text(), feature_version=(3, 8))
    ours = {"mimic", "mimic_base", "motions", "robots", "retarget"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names]
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in names} & ours
        if isinstance(node, ast.AnnAssign | ast.arg) and node.annotation is not None:
            # Written out at run time: list[int] and int | None are younger.
            written = ast.unparse(node.annotation)
            assert "|" not in written and not written.startswith(("list[", "dict[", "tuple["))


# Isaac Gym ---------------------------------------------------------------------------------


def test_isaac_gym_is_refused_with_the_reason_where_it_is_absent(
    tiny: Robot, tmp_path: Path
) -> None:
    scene = make_scene(tiny)
    shim = tmp_path / "python3.8"
    shim.write_text("#!/bin/sh\necho 'version 3.8 is not installed' >&2\nexit 127\n")
    shim.chmod(0o755)
    for python, told in (
        (str(shim), "exit code 127; its last words: version 3.8 is not installed"),
        ("/no/python3.8", "engine 'isaacgym': there is no /no/python3.8"),
        (sys.executable, "has no isaacgym package"),
    ):
        with pytest.raises(EngineError) as caught:
            make_engine(f"isaacgym:python={python}", scene, 1)
        text = str(caught.value)
        assert told in text and "developer.nvidia.com/isaac-gym" in text and "\n" not in text
        assert "--engine isaacgym:python=/path/to/python3.8" in text


def test_isaac_gym_refuses_scenes_it_does_not_have(scene: Scene, tiny: Robot) -> None:
    with pytest.raises(EngineError, match="engine 'isaacgym' cannot do objects \\(box\\)"):
        make_engine("isaacgym", scene, 1)
    with pytest.raises(EngineError, match="engine 'isaacgym' cannot do this terrain"):
        make_engine("isaacgym", make_scene(tiny, SceneConfig(terrain=Slope())), 1)
    contacts = {"toe": ContactConfig(body="left_foot", other="terrain")}
    with pytest.raises(EngineError, match="not the contact toe"):
        make_engine("isaacgym", make_scene(tiny, SceneConfig(contacts=contacts)), 1)


def test_columns_by_name() -> None:
    assert np.array([10, 20, 30])[columns("abc", "cab")].tolist() == [30, 10, 20]
    assert columns("abc", "b").tolist() == [1]
    with pytest.raises(ValueError, match="joints x, y are missing; there are a, b"):
        columns("ab", "xay")
    with pytest.raises(ValueError, match="joints a are named twice"):
        columns("aba", "b")


def test_root_states_have_xyzw_and_world_axes() -> None:
    # Turned by 90 degrees about z: the base's x axis is the world's y axis.
    qpos = np.array([1.0, 2.0, 3.0, HALF, 0.0, 0.0, HALF, 0.7])
    qvel = np.array([0.1, 0.2, 0.3, 5.0, 0.0, 0.0, 0.9])
    state = root_state(qpos, qvel)
    expected = [1, 2, 3, 0, 0, HALF, HALF, 0.1, 0.2, 0.3, 0, 5, 0]
    assert state == pytest.approx(np.array(expected), abs=1e-12)
    rng = np.random.default_rng(0)
    many = rng.normal(size=(4, 3, 13))
    many[..., 3:7] /= np.linalg.norm(many[..., 3:7], axis=-1, keepdims=True)
    assert root_state(*floating_base(many)) == pytest.approx(many)
