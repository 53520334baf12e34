"""Which engine runs, what its options are, and what is said where one cannot run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import mujoco
import pytest
import torch

from mimic.sim import ENGINES, EngineError, choice, make_engine, pick_device
from mimic.sim.choice import EngineSpec, choose_engine
from mimic.sim.engines.buffers import BufferSizes, may_touch, most_contacts
from mimic.sim.errors import device_trouble
from mimic.sim.scene import Scene
from mimic_base.errors import MimicError

REPO = Path(__file__).resolve().parents[2]
GPU, CPU = torch.device("cuda"), torch.device("cpu")


def installed(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    monkeypatch.setattr(choice, "_is_installed", lambda name: name in packages)


def test_names_and_options() -> None:
    assert EngineSpec.parse("mujoco") == EngineSpec("mujoco", {})
    spec = EngineSpec.parse("warp:nconmax=64, njmax = 300")
    assert spec.checked("warp", {"nconmax": "", "njmax": ""}) == {"nconmax": 64, "njmax": 300}
    assert EngineSpec.parse("mjx:impl=warp").checked("mjx", {"impl": ""}) == {"impl": "warp"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("bullet", "unknown engine 'bullet'; known: auto, mujoco, mjx, warp"),
        ("warp:nconmax", "'nconmax' is not an option; write warp:key=value"),
        ("mujoco:nconmax=3", "engine 'mujoco' has no option 'nconmax'; it has: none"),
    ],
)
def test_wrong_names_and_options(text: str, told: str, tiny_scene: Scene) -> None:
    with pytest.raises(EngineError, match=told):
        make_engine(text, tiny_scene, 1)


def test_an_engine_of_ones_own_needs_no_word_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_scene: Scene
) -> None:
    (tmp_path / "my_engines.py").write_text(
        "from mimic.sim.engines.mujoco import MujocoEngine\n"
        "class Slow(MujocoEngine):\n"
        "    name = 'slow'\n"
        "    options = {'factor': 'how slow'}\n"
        "    def __init__(self, scene, num_envs, *, device, threads, factor=1):\n"
        "        super().__init__(scene, num_envs, device=device, threads=threads)\n"
        "        self.factor = factor\n"
        "Other = 3\n"
    )
    monkeypatch.chdir(tmp_path)
    assert pick_device("auto", "my_engines:Slow") == "cpu"
    engine = make_engine("my_engines:Slow:factor=7", tiny_scene, 2, threads=1)
    assert engine.name == "slow" and vars(engine)["factor"] == 7
    for text, told in (
        ("my_engines:Slow:size=7", "has no option 'size'; it has: factor"),
        ("my_engines:Fast", "no 'Fast' in 'my_engines'; it has: MujocoEngine, Slow, Other"),
        ("my_engines:Other", "3 does not derive from mimic.sim.Engine"),
        ("no_such_module:Fast", "module 'no_such_module' cannot be imported"),
        ("my engines:Fast", "unknown engine 'my engines'"),
    ):
        with pytest.raises(MimicError, match=told) as caught:
            make_engine(text, tiny_scene, 1)
        assert "\n" not in str(caught.value)


def test_negative_sizes_are_refused() -> None:
    with pytest.raises(EngineError, match="nconmax must not be negative, got -4"):
        EngineSpec.parse("warp:nconmax=-4").checked("warp", {"nconmax": ""})


@pytest.mark.parametrize(
    ("device", "packages", "engine"),
    [
        (CPU, ("warp", "mujoco_warp", "jax", "mujoco.mjx"), "mujoco"),
        (GPU, ("warp", "mujoco_warp", "jax", "mujoco.mjx"), "warp"),
        (GPU, ("jax", "mujoco.mjx"), "mjx"),
        (GPU, (), "mujoco"),
    ],
)
def test_auto(
    device: torch.device, packages: tuple[str, ...], engine: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    installed(monkeypatch, *packages)
    monkeypatch.setattr(torch.version, "hip", None)
    assert choose_engine("auto", device) == engine
    told = capsys.readouterr().err
    assert ("[warp]" in told) == (device == GPU and not packages), told


def test_auto_on_amd_is_mjx(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, "warp", "mujoco_warp", "jax", "mujoco.mjx")
    monkeypatch.setattr(torch.version, "hip", "6.4")
    assert choose_engine("auto", GPU) == "mjx"


@pytest.mark.parametrize("engine", ["warp", "mjx"])
def test_a_missing_extra_is_one_line_with_its_command(
    engine: str, monkeypatch: pytest.MonkeyPatch, tiny_scene: Scene
) -> None:
    installed(monkeypatch, "mjbatch")
    with pytest.raises(EngineError) as caught:
        make_engine(engine, tiny_scene, 1)
    text = str(caught.value)
    assert "\n" not in text and f"engine '{engine}' needs" in text
    assert f"pip install -c constraints.txt -e '.[{engine}]'" in text


def test_the_c_engine_loads_neither_jax_nor_warp() -> None:
    script = (
        "import sys, robots; from mimic.sim import make_engine; "
        "from mimic.sim.scene import make_scene; "
        "make_engine('auto', make_scene(robots.load('tests/robots/tiny.toml')), 1); "
        "assert not {'jax', 'warp'} & set(sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", script], cwd=REPO, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_device_auto_is_the_gpu_only_for_engines_that_compute_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [pick_device("auto", name) for name in ("auto", *ENGINES)] == [
        "cuda", "cpu", "cuda", "cuda", "cpu", "cpu", "cuda"
    ]  # fmt: skip
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto", "warp") == "cpu" and pick_device("cpu", "auto") == "cpu"
    with pytest.raises(EngineError, match="sees no GPU"):
        pick_device("cuda:1", "warp")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), "--num-envs"),
        (RuntimeError("Failed to allocate 4096 bytes on device 'cuda:0'"), "--num-envs"),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 123 bytes."), "nconmax"),
        (RuntimeError("CUDA error: an illegal memory access was encountered\nmore"), "nvidia-smi"),
        (RuntimeError("Warp CUDA error 719: unspecified launch failure"), "nvidia-smi"),
        (RuntimeError("shape '[3]' is invalid for input of size 4"), None),
        (ValueError("out of memory"), None),
    ],
)
def test_what_a_library_says_about_its_device(error: Exception, told: str | None) -> None:
    text = device_trouble(error)
    if told is None:
        assert text is None
    else:
        assert text is not None and told in text and "\n" not in text


def test_an_engine_that_does_not_fit_the_device_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tiny_scene: Scene
) -> None:
    from mimic.sim.engines import mujoco as mujoco_engine

    def refuse(*args: object) -> None:
        raise RuntimeError("Failed to allocate 99 bytes on device 'cuda:0'")

    monkeypatch.setattr(mujoco_engine.mjbatch, "Batch", refuse)
    with pytest.raises(EngineError, match="engine mujoco, 7 environments: .*out of memory"):
        make_engine("mujoco", tiny_scene, 7)


def test_buffers_hold_every_contact_a_small_robot_can_have(tiny_scene: Scene) -> None:
    # Two boxes and a ball on the ground: 4 + 4 + 1 contacts of 4 rows, 4 limits; a joint friction
    # would be one more row (the overlay drops it).
    assert most_contacts(tiny_scene.model) == (9, 9 * 4 + 4)
    assert BufferSizes.of(tiny_scene.model) == BufferSizes(9, 40)
    assert BufferSizes.of(tiny_scene.model, 5, 6) == BufferSizes(5, 6)


def test_pairs_that_may_touch_are_those_mujoco_collides(g1_scene: Scene) -> None:
    model = g1_scene.model
    allowed = {
        (a, b)
        for a in range(model.ngeom)
        for b in range(a + 1, model.ngeom)
        if may_touch(model, a, b)
    }
    data = mujoco.MjData(model)
    seen: set[tuple[int, int]] = set()
    generator = torch.Generator().manual_seed(0)
    for _ in range(40):
        # Joints far beyond their ranges, close to the ground: much touches much.
        data.qpos[7:] = (6 * torch.rand(model.nq - 7, generator=generator) - 3).numpy()
        data.qpos[:7] = [0, 0, 0.2, 1, 0, 0, 0]
        mujoco.mj_forward(model, data)
        seen |= {tuple(sorted(map(int, pair))) for pair in data.contact.geom}  # type: ignore[misc]
    assert len(seen) > 30 and seen <= allowed
