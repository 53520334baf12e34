"""Objects and named contacts on MuJoCo's C engine: poses, forces, variants, refusals."""

from __future__ import annotations

import re
from pathlib import Path

import mujoco
import numpy as np
import pytest
import torch

from mimic.sim import Engine, EngineError, make_engine
from mimic.sim.objects import ObjectConfig, inertia_of, vary_object
from mimic.sim.scene import ContactConfig, Scene, SceneConfig, make_scene
from mimic.sim.terrain import Slope
from mimic_base.errors import MimicError
from robots import Robot

BOX = ObjectConfig(size=(0.1, 0.15, 0.05), mass=2.0, pos=(1.0, 0.0, 0.05))
BALL = ObjectConfig(shape="sphere", size=(0.1,), mass=1.0, pos=(2.0, 0.0, 0.1))
TABLE = ObjectConfig(size=(0.3, 0.3, 0.2), fixed=True, pos=(0.0, 1.5, 0.2))


def standing_at(engine: Engine, **objects: tuple[torch.Tensor, ...]) -> None:
    """All robots upright on straight legs, which is at rest; objects where they are said to be."""
    n, joints = engine.num_envs, engine.scene.robot.num_joints
    upright = torch.tensor([1.0, 0.0, 0.0, 0.0]).repeat(n, 1)
    engine.reset_to(
        torch.arange(n),
        root_pos_w=torch.tensor([0.0, 0.0, 0.52]).repeat(n, 1), root_quat_w=upright,
        joint_pos=torch.zeros(n, joints), root_lin_vel_w=torch.zeros(n, 3),
        root_ang_vel_b=torch.zeros(n, 3), joint_vel=torch.zeros(n, joints), objects=objects,
    )  # fmt: skip


def run(engine: Engine, steps: int) -> None:
    for _ in range(steps):
        engine.step(torch.zeros(engine.num_envs, engine.scene.robot.num_joints))


@pytest.fixture(scope="module")
def scene(tiny: Robot) -> Scene:
    return make_scene(
        tiny,
        SceneConfig(
            objects={"box": BOX, "table": TABLE, "ball": BALL},
            contacts={
                "box_floor": ContactConfig(body="box", other="terrain"),
                "box_all": ContactConfig(body="box"),
                "box_ball": ContactConfig(body="box", other="ball"),
                "ball_box": ContactConfig(body="ball", other="box"),
                "ball_table": ContactConfig(body="ball", other="table"),
            },
        ),
    )


def quat_about_z(angle: float) -> torch.Tensor:
    return torch.tensor([[np.cos(angle / 2), 0.0, 0.0, np.sin(angle / 2)]], dtype=torch.float32)


def test_objects_come_after_the_robot_and_leave_it_as_it_is(scene: Scene, tiny: Robot) -> None:
    model = scene.model
    assert model.nq == tiny.model.nq + 14 and model.nv == tiny.model.nv + 12
    assert tuple(model.body(i + 1).name for i in range(len(tiny.body_names))) == tiny.body_names
    engine = make_engine("mujoco", scene, 2, threads=1)
    state = engine.state
    assert list(state.objects) == ["box", "table", "ball"]
    assert state.robot.joint_pos.shape == (2, 4) and state.robot.joint_vel.shape == (2, 4)
    torch.testing.assert_close(state.objects["box"].pos_w[1], torch.tensor(BOX.pos))
    torch.testing.assert_close(state.objects["table"].pos_w[1], torch.tensor(TABLE.pos))


def test_states_by_name_are_those_of_mujoco(scene: Scene) -> None:
    engine = make_engine("mujoco", scene, 2, threads=1)
    pos, quat = torch.tensor([[1.0, 0.2, 0.6]] * 2), quat_about_z(0.5).repeat(2, 1)
    lin, ang = torch.tensor([[0.3, 0.1, 1.0]] * 2), torch.tensor([[2.0, -1.0, 3.0]] * 2)
    standing_at(engine, box=(pos, quat, lin, ang))
    box = engine.state.objects["box"]
    torch.testing.assert_close(box.lin_vel_w, lin)
    torch.testing.assert_close(box.ang_vel_w, ang)
    run(engine, 5)
    data, velocity = mujoco.MjData(scene.model), np.zeros(6)
    data.qpos[:], data.qvel[:] = engine.qpos[1].double(), engine.qvel[1].double()
    mujoco.mj_forward(scene.model, data)
    kind = mujoco.mjtObj.mjOBJ_XBODY
    for name, each in engine.state.objects.items():
        body = scene.model.body(name).id
        mujoco.mj_objectVelocity(scene.model, data, kind, body, velocity, 0)
        np.testing.assert_allclose(each.pos_w[1], data.xpos[body], atol=1e-5)
        alike = float(np.abs((each.quat_w[1].double().numpy() * data.xquat[body]).sum()))
        assert alike == pytest.approx(1.0, abs=1e-6)
        np.testing.assert_allclose(each.ang_vel_w[1], velocity[:3], atol=1e-5)
        np.testing.assert_allclose(each.lin_vel_w[1], velocity[3:], atol=1e-5)
    robot = engine.state.robot
    np.testing.assert_allclose(robot.body_pos_w[1], data.xpos[1:8][: robot.body_pos_w.shape[1]],
                               atol=1e-5)  # fmt: skip


def test_named_forces_are_the_sums_of_mujocos_own(tiny: Robot) -> None:
    # On a slope, the ball rolling against the box: forces in every direction.
    config = SceneConfig(
        terrain=Slope(angle=0.15, heading=0.6),
        objects={"box": BOX, "ball": BALL},
        contacts={
            "box_floor": ContactConfig(body="box", other="terrain"),
            "box_all": ContactConfig(body="box"),
            "box_ball": ContactConfig(body="box", other="ball"),
            "ball_box": ContactConfig(body="ball", other="box"),
        },
    )
    scene = make_scene(tiny, config)
    engine = make_engine("mujoco", scene, 1, threads=1)
    high = float(scene.height(1.0, 0.0))
    upright = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    standing_at(
        engine,
        box=(torch.tensor([[1.0, 0.0, high + 0.07]]), upright),
        ball=(torch.tensor([[1.21, 0.02, float(scene.height(1.21, 0.02)) + 0.1]]), upright),
    )
    run(engine, 15)
    model, data = scene.model, mujoco.MjData(scene.model)
    before = engine.qpos.clone(), engine.qvel.clone()
    # The physics by hand; forces are those of its last step, before it moves on.
    data.qpos[:], data.qvel[:] = before[0][0].double(), before[1][0].double()
    engine.reset(torch.tensor([0]), *before)
    engine.step(torch.zeros(1, 4))
    for _ in range(scene.decimation):
        mujoco.mj_step(model, data)
    total: dict[tuple[int, int], np.ndarray] = {}
    for index in range(data.ncon):
        contact, local = data.contact[index], np.zeros(6)
        mujoco.mj_contactForce(model, data, index, local)
        force = contact.frame.reshape(3, 3).T @ local[:3]
        one, other = (int(model.geom_bodyid[g]) for g in contact.geom)
        total[other, one] = total.get((other, one), 0.0) + force
        total[one, other] = total.get((one, other), 0.0) - force
    for name, pair in scene.contacts.items():
        body = model.body(pair.body).id
        other = None if pair.other is None else model.body(pair.other).id
        expected = sum((f for (on, by), f in total.items() if on == body
                        and other in (None, by)), np.zeros(3))  # fmt: skip
        found = engine.state.contacts[name].force[0]
        np.testing.assert_allclose(found, expected, atol=2e-2, rtol=1e-3, err_msg=name)
        if name in ("box_ball", "box_floor"):
            assert np.linalg.norm(expected) > 0.5, name
    feet = engine.state.contacts["left_foot"], engine.state.contacts["right_foot"]
    assert sum(float(foot.magnitude[0]) for foot in feet) > 0.5
    pair_forces = [engine.state.contacts[name].force for name in ("box_ball", "ball_box")]
    torch.testing.assert_close(pair_forces[0], -pair_forces[1])


def test_a_box_at_rest_presses_with_its_weight(scene: Scene) -> None:
    engine = make_engine("mujoco", scene, 1, threads=1)
    standing_at(engine)
    assert not engine.state.contacts["box_floor"].force.any()
    run(engine, 60)
    contacts = engine.state.contacts
    weight = [0.0, 0.0, 9.81 * BOX.mass]
    np.testing.assert_allclose(contacts["box_floor"].force[0], weight, atol=0.02)
    np.testing.assert_allclose(contacts["box_all"].force[0], weight, atol=0.02)
    assert contacts["box_floor"].magnitude[0] == pytest.approx(weight[2], abs=0.02)
    assert not contacts["box_ball"].force.any() and not contacts["ball_table"].force.any()
    feet = contacts["left_foot"].force + contacts["right_foot"].force
    robot_weight = 9.81 * float(scene.robot.model.body_mass.sum())
    np.testing.assert_allclose(feet[0], [0.0, 0.0, robot_weight], atol=0.02 * robot_weight)


def test_a_ball_on_the_table_and_a_ball_on_the_robot(scene: Scene) -> None:
    engine = make_engine("mujoco", scene, 1, threads=1)
    upright = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    standing_at(engine, ball=(torch.tensor([[0.0, 1.5, 0.5]]), upright))
    run(engine, 60)
    force = engine.state.contacts["ball_table"].force[0]
    np.testing.assert_allclose(force, [0.0, 0.0, 9.81], atol=0.05)
    # Objects meet the robot: a ball in its way is pushed off.
    standing_at(engine, ball=(torch.tensor([[0.25, 0.08, 0.1]]), upright,
                              torch.tensor([[-2.0, 0.0, 0.0]]), torch.zeros(1, 3)))  # fmt: skip
    run(engine, 10)
    assert engine.state.objects["ball"].lin_vel_w[0, 0] > -1.0


def test_a_fixed_object_may_stand_elsewhere_in_each_environment(scene: Scene) -> None:
    engine = make_engine("mujoco", scene, 2, threads=1)
    field, body = engine.model_field("body_pos"), scene.objects["table"].body
    field[1, body, 0] += 5.0
    engine.write_model_field("body_pos", field)
    moved = engine.state.objects["table"].pos_w
    torch.testing.assert_close(moved[1] - moved[0], torch.tensor([5.0, 0.0, 0.0]))
    upright = torch.tensor([[1.0, 0.0, 0.0, 0.0]] * 2)
    standing_at(engine, ball=(torch.tensor([[5.0, 1.5, 0.5]] * 2), upright))
    run(engine, 60)
    height = engine.state.objects["ball"].pos_w[:, 2]
    np.testing.assert_allclose(height, [0.1, 0.5], atol=0.005)


# variants ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "size"),
    [("box", (0.2, 0.1, 0.3)), ("box", (0.3, 0.2, 0.1)), ("sphere", (0.2,)),
     ("cylinder", (0.1, 0.3)), ("capsule", (0.1, 0.3))],
)  # fmt: skip
def test_a_variant_is_the_object_built_so(shape: str, size: tuple[float, ...], tiny: Robot) -> None:
    def built(size: tuple[float, ...], mass: float) -> Scene:
        thing = ObjectConfig(shape=shape, size=size, mass=mass, pos=(1.0, 0.0, 1.0))  # type: ignore[arg-type]
        return make_scene(tiny, SceneConfig(objects={"thing": thing}))

    scene = built(tuple(0.5 * each for each in size), 1.0)
    engine = make_engine("mujoco", scene, 3, threads=1)
    vary_object(
        engine, "thing", torch.tensor([2]), mass=torch.tensor([3.0]), size=torch.tensor([size])
    )
    wanted = built(size, 3.0).model
    body, geom = scene.objects["thing"].body, scene.objects["thing"].geom
    dofs = slice(tiny.model.nv, tiny.model.nv + 6)
    for name, place in (
        ("geom_size", geom), ("geom_rbound", geom), ("geom_aabb", geom), ("body_mass", body),
        ("body_inertia", body), ("body_subtreemass", body), ("body_invweight0", body),
        ("dof_invweight0", dofs), ("dof_M0", dofs),
    ):  # fmt: skip
        found = engine.model_field(name)
        expected = getattr(wanted, name)[place]
        np.testing.assert_allclose(found[2, place], expected, rtol=2e-3, atol=1e-6, err_msg=name)
        nominal = getattr(scene.model, name)[place]
        np.testing.assert_allclose(found[0, place], nominal, rtol=1e-5, atol=1e-7, err_msg=name)


def test_inertia_of_a_thin_capsule_is_a_rods() -> None:
    one = torch.ones(1, dtype=torch.float64)
    moments = inertia_of("capsule", torch.tensor([[1e-4, 0.5, 0.0]], dtype=torch.float64), one)
    np.testing.assert_allclose(moments[0, :2], 1.0 / 12.0, rtol=1e-3)


def test_a_heavier_box_falls_the_same_and_is_pushed_slower(scene: Scene) -> None:
    engine = make_engine("mujoco", scene, 2, threads=1)
    vary_object(engine, "box", torch.tensor([1]), mass=torch.tensor([20.0]))
    upright = torch.tensor([[1.0, 0.0, 0.0, 0.0]] * 2)
    standing_at(engine, box=(torch.tensor([[1.0, 0.0, 1.0]] * 2), upright))
    run(engine, 10)
    box, ball = engine.state.objects["box"], engine.state.objects["ball"]
    torch.testing.assert_close(box.pos_w[1], box.pos_w[0], atol=1e-5, rtol=0)
    assert box.pos_w[0, 2] == pytest.approx(1.0 - 0.5 * 9.81 * 0.2**2, abs=0.01)
    standing_at(
        engine,
        box=(torch.tensor([[1.0, 0.0, 0.05]] * 2), upright),
        ball=(torch.tensor([[1.25, 0.0, 0.1]] * 2), upright,
              torch.tensor([[-3.0, 0.0, 0.0]] * 2), torch.zeros(2, 3)),
    )  # fmt: skip
    run(engine, 2)
    light, heavy = (-box.lin_vel_w[:, 0]).tolist()
    assert light > 0.3 and heavy < 0.4 * light
    assert ball.lin_vel_w[1, 0] > ball.lin_vel_w[0, 0]


def test_a_larger_box_rests_higher_and_presses_with_the_same_weight(scene: Scene) -> None:
    engine = make_engine("mujoco", scene, 2, threads=1)
    vary_object(engine, "box", torch.tensor([1]), size=torch.tensor([[0.3, 0.3, 0.15]]))
    upright = torch.tensor([[1.0, 0.0, 0.0, 0.0]] * 2)
    standing_at(engine, box=(torch.tensor([[1.0, 0.0, 0.17]] * 2), upright))
    run(engine, 60)
    np.testing.assert_allclose(engine.state.objects["box"].pos_w[:, 2], [0.05, 0.15], atol=2e-3)
    force = engine.state.contacts["box_floor"].force[:, 2]
    np.testing.assert_allclose(force, 9.81 * BOX.mass, rtol=0.01)


def test_what_touches_an_object_sees_its_new_size(scene: Scene) -> None:
    # The trunk's ball is one of several geoms of its body, which takes the way through the trees.
    engine = make_engine("mujoco", scene, 2, threads=1)
    vary_object(engine, "box", torch.tensor([1]), size=torch.tensor([[0.39, 0.1, 0.19]]))
    upright = torch.tensor([[1.0, 0.0, 0.0, 0.0]] * 2)
    standing_at(engine, box=(torch.tensor([[0.45, 0.0, 0.52]] * 2), upright))
    engine.step(torch.zeros(2, 4))
    force = engine.state.contacts["box_all"].magnitude
    assert force[0] == 0.0 and force[1] > 1.0
    with pytest.raises(MimicError, match="more than 4 times the configured"):
        vary_object(engine, "box", torch.tensor([1]), size=torch.tensor([[0.1, 0.1, 0.21]]))
    with pytest.raises(EngineError, match="cannot vary the model field 'bvh_aabb'"):
        engine.model_field("bvh_aabb")
    with pytest.raises(EngineError, match="cannot vary the model field 'no_such'"):
        engine.model_field("no_such")


def test_a_mesh_collides_and_may_weigh_more_but_not_grow(tiny: Robot, tmp_path: Path) -> None:
    corners = [(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
    faces = [(1, 3, 4), (1, 4, 2), (5, 6, 8), (5, 8, 7), (1, 2, 6), (1, 6, 5), (3, 7, 8),
             (3, 8, 4), (1, 5, 7), (1, 7, 3), (2, 4, 8), (2, 8, 6)]  # fmt: skip
    lines = [f"v {x} {y} {z}" for x, y, z in corners] + [f"f {a} {b} {c}" for a, b, c in faces]
    path = tmp_path / "cube.obj"
    path.write_text("\n".join(lines))
    cube = ObjectConfig(shape="mesh", mesh=str(path), mesh_scale=(0.1, 0.1, 0.1), mass=2.0,
                        pos=(1.0, 0.0, 0.12))  # fmt: skip
    contacts = {"floor": ContactConfig(body="cube", other="terrain")}
    scene = make_scene(tiny, SceneConfig(objects={"cube": cube}, contacts=contacts))
    engine = make_engine("mujoco", scene, 2, threads=1)
    vary_object(engine, "cube", torch.tensor([1]), mass=torch.tensor([4.0]))
    with pytest.raises(MimicError, match="a mesh has one size only"):
        vary_object(engine, "cube", torch.tensor([1]), size=torch.ones(1, 3))
    standing_at(engine)
    run(engine, 80)
    np.testing.assert_allclose(engine.state.objects["cube"].pos_w[:, 2], 0.1, atol=2e-3)
    force = engine.state.contacts["floor"].force[:, 2]
    np.testing.assert_allclose(force, [2 * 9.81, 4 * 9.81], rtol=0.01)
    inertia = engine.model_field("body_inertia")[:, scene.objects["cube"].body]
    torch.testing.assert_close(inertia[1], 2.0 * inertia[0])


# refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (SceneConfig(objects={"chest": BOX}), "object 'chest': robot 'tiny' has that name"),
        (SceneConfig(objects={"b": ObjectConfig(shape="box", size=(1.0,))}),
         "object 'b': size of a box is half lengths along x, y, z"),
        (SceneConfig(objects={"b": ObjectConfig(shape="cube")}),  # type: ignore[arg-type]
         "object 'b': shape is 'cube', expected box, sphere, cylinder, capsule, mesh"),
        (SceneConfig(objects={"b": ObjectConfig(shape="mesh", mesh="nowhere.obj")}),
         "object 'b': mesh file 'nowhere.obj' does not exist"),
        (SceneConfig(objects={"b": ObjectConfig(shape="sphere", size=(0.1,), mass=0.0)}),
         "object 'b': mass must be greater than zero"),
        (SceneConfig(contacts={"left_foot": ContactConfig(body="chest")}),
         "contact 'left_foot': every scene has one of that name"),
        (SceneConfig(contacts={"grip": ContactConfig(body="bix")}),
         "contact 'grip': body 'bix' is neither an object nor of robot 'tiny'"),
        (SceneConfig(objects={"b": BOX}, contacts={"g": ContactConfig(body="b", other="floor")}),
         "contact 'g': other 'floor' is neither 'terrain'"),
    ],
)  # fmt: skip
def test_scenes_that_cannot_be(config: SceneConfig, told: str, tiny: Robot) -> None:
    with pytest.raises(MimicError, match=re.escape(told)) as caught:
        make_scene(tiny, config)
    assert "\n" not in str(caught.value)


def test_states_that_cannot_be(scene: Scene) -> None:
    engine = make_engine("mujoco", scene, 1, threads=1)
    pose = torch.zeros(1, 3), torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    with pytest.raises(MimicError, match="no object 'bax'; it has: box, table, ball"):
        standing_at(engine, bax=pose)
    with pytest.raises(MimicError, match="object 'table' is fixed and has no state"):
        standing_at(engine, table=pose)
    with pytest.raises(MimicError, match=r"\[n, 25\] and \[n, 22\], got \[1, 11\] and \[1, 10\]"):
        engine.reset(torch.tensor([0]), torch.zeros(1, 11), torch.zeros(1, 10))
    with pytest.raises(MimicError, match="mass must be greater than zero"):
        vary_object(engine, "box", torch.tensor([0]), mass=torch.tensor([0.0]))
    with pytest.raises(MimicError, match="no object 'bax'"):
        vary_object(engine, "bax", torch.tensor([0]), mass=torch.tensor([1.0]))
    with pytest.raises(MimicError, match=r"sizes of a box must have the shape \(1, 3\)"):
        vary_object(engine, "box", torch.tensor([0]), size=torch.ones(3))
