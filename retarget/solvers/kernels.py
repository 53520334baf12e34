"""Inner loops of kinematics and normal equations.

Layouts are [..., T] as in `tree`; time is the innermost loop. A symmetric 6x6 matrix of a body
(rotation first, then translation) is kept as 21 numbers: the upper triangles of its two diagonal
blocks, row by row, at 0-5 and 15-20, and the block between them at 6-14.
"""

from __future__ import annotations

import numpy as np

from retarget.solvers.compiled import kernel

TILE = 8
"""Frames whose products fit into the innermost cache."""


@kernel
def pose(parent, body_pos, body_mat, first, count, axis, anchor, sin, cos, pos, mat, basis):
    """Fill `pos` [B, 3, T], `mat` [B, 3, 3, T] and the joints of `basis` [n, 6, T].

    The bodies 0 (world) and 1 (root) are given. `sin`, `cos` [J, T] of the joints' turns.
    """
    frames = sin.shape[1]
    for body in range(2, len(parent)):
        above = parent[body]
        p, r = pos[body], mat[body]
        q, s = pos[above], mat[above]
        x, y, z = body_pos[body]
        fixed = body_mat[body]
        for i in range(3):
            for t in range(frames):
                p[i, t] = q[i, t] + s[i, 0, t] * x + s[i, 1, t] * y + s[i, 2, t] * z
            for j in range(3):
                a, b, c = fixed[0, j], fixed[1, j], fixed[2, j]
                for t in range(frames):
                    r[i, j, t] = s[i, 0, t] * a + s[i, 1, t] * b + s[i, 2, t] * c
        for joint in range(first[body], first[body] + count[body]):
            x, y, z = axis[joint]
            e, f, g = anchor[joint]
            world = basis[6 + joint]
            for i in range(3):
                for t in range(frames):
                    a, b, c = r[i, 0, t], r[i, 1, t], r[i, 2, t]
                    world[i, t] = a * x + b * y + c * z
                    p[i, t] += a * e + b * f + c * g
            for t in range(frames):
                world[3, t] = p[1, t] * world[2, t] - p[2, t] * world[1, t]
                world[4, t] = p[2, t] * world[0, t] - p[0, t] * world[2, t]
                world[5, t] = p[0, t] * world[1, t] - p[1, t] * world[0, t]
            for i in range(3):
                for t in range(frames):
                    # A row turns by Rodrigues' formula: cos a + sin (a x k) + (1 - cos) (a.k) k.
                    a, b, c = r[i, 0, t], r[i, 1, t], r[i, 2, t]
                    s1, c1 = sin[joint, t], cos[joint, t]
                    along = (1.0 - c1) * (a * x + b * y + c * z)
                    u = c1 * a + s1 * (b * z - c * y) + along * x
                    v = c1 * b + s1 * (c * x - a * z) + along * y
                    w = c1 * c + s1 * (a * y - b * x) + along * z
                    r[i, 0, t], r[i, 1, t], r[i, 2, t] = u, v, w
                    p[i, t] -= u * e + v * f + w * g


@kernel
def directions(gram, force, mat, body, local, target, weight):
    """Rows of body-fixed unit vectors `local` [K, 3] that follow `target` [K, 3, T]; the cost."""
    cost = 0.0
    frames = mat.shape[3]
    for k in range(len(body)):
        h, f, r, goal, wide = gram[body[k]], force[body[k]], mat[body[k]], target[k], weight[k]
        a, b, c = local[k]
        for t in range(frames):
            w = wide[t] * wide[t]
            x = r[0, 0, t] * a + r[0, 1, t] * b + r[0, 2, t] * c
            y = r[1, 0, t] * a + r[1, 1, t] * b + r[1, 2, t] * c
            z = r[2, 0, t] * a + r[2, 1, t] * b + r[2, 2, t] * c
            h[0, t] += w * (1.0 - x * x)
            h[1, t] -= w * x * y
            h[2, t] -= w * x * z
            h[3, t] += w * (1.0 - y * y)
            h[4, t] -= w * y * z
            h[5, t] += w * (1.0 - z * z)
            u, v, q = goal[0, t], goal[1, t], goal[2, t]
            f[0, t] -= w * (y * q - z * v)
            f[1, t] -= w * (z * u - x * q)
            f[2, t] -= w * (x * v - y * u)
            cost += 2.0 * w * (1.0 - x * u - y * v - z * q)
    return cost


@kernel
def points(gram, force, pos, mat, root, body, local, target, weight):
    """Rows of body-fixed points `local` [K, 3] m that follow `target` [K, 3, T]; the cost."""
    cost = 0.0
    frames = mat.shape[3]
    for k in range(len(body)):
        h, f, r, p = gram[body[k]], force[body[k]], mat[body[k]], pos[body[k]]
        goal, wide = target[k], weight[k]
        a, b, c = local[k]
        for t in range(frames):
            x = p[0, t] + r[0, 0, t] * a + r[0, 1, t] * b + r[0, 2, t] * c
            y = p[1, t] + r[1, 0, t] * a + r[1, 1, t] * b + r[1, 2, t] * c
            z = p[2, t] + r[2, 0, t] * a + r[2, 1, t] * b + r[2, 2, t] * c
            u, v, w = wide[0, t] ** 2, wide[1, t] ** 2, wide[2, t] ** 2
            h[0, t] += v * z * z + w * y * y
            h[1, t] -= w * x * y
            h[2, t] -= v * x * z
            h[3, t] += u * z * z + w * x * x
            h[4, t] -= u * y * z
            h[5, t] += u * y * y + v * x * x
            h[7, t] -= v * z
            h[8, t] += w * y
            h[9, t] += u * z
            h[11, t] -= w * x
            h[12, t] -= u * y
            h[13, t] += v * x
            h[15, t] += u
            h[18, t] += v
            h[20, t] += w
            e = x + root[0, t] - goal[0, t]
            g = y + root[1, t] - goal[1, t]
            q = z + root[2, t] - goal[2, t]
            cost += u * e * e + v * g * g + w * q * q
            e, g, q = u * e, v * g, w * q
            f[0, t] += y * q - z * g
            f[1, t] += z * e - x * q
            f[2, t] += x * g - y * e
            f[3, t] += e
            f[4, t] += g
            f[5, t] += q
    return cost


@kernel
def body_rows(gram, force, rows, residual):
    """Any rows [R, 6, T] on the twist of one body with residuals [R, T]; the cost."""
    cost = 0.0
    for k in range(rows.shape[0]):
        j = rows[k]
        for t in range(rows.shape[2]):
            x, y, z, u, v, w, e = (
                j[0, t],
                j[1, t],
                j[2, t],
                j[3, t],
                j[4, t],
                j[5, t],
                residual[k, t],
            )
            for i, value in enumerate(
                (
                    x * x,
                    x * y,
                    x * z,
                    y * y,
                    y * z,
                    z * z,
                    x * u,
                    x * v,
                    x * w,
                    y * u,
                    y * v,
                    y * w,
                    z * u,
                    z * v,
                    z * w,
                    u * u,
                    u * v,
                    u * w,
                    v * v,
                    v * w,
                    w * w,
                )
            ):
                gram[i, t] += value
            for i in range(6):
                force[i, t] += j[i, t] * e
            cost += e * e
    return cost


@kernel
def joint_rows(diagonal, gradient, q, rest, rest_square, low, high, limit_square, held,
               held_square):  # fmt: skip
    """Rows of the joints `q` [J, T] rad: rest posture, margin of the limits, held; the cost."""
    cost = 0.0
    for j in range(q.shape[0]):
        for t in range(q.shape[1]):
            away = q[j, t] - rest[j]
            excess = min(q[j, t] - low[j], 0.0) + max(q[j, t] - high[j], 0.0)
            square = rest_square[j]
            pull = square * away + limit_square * excess
            cost += square * away * away + limit_square * excess * excess
            if excess != 0.0:
                square += limit_square
            if held[j, t]:
                square += held_square
            diagonal[6 + j, t] += square
            gradient[6 + j, t] += pull
    return cost


@kernel
def carry(gram, force, parent):
    """Add what bodies carry to the bodies that carry them, up to the root body 1."""
    for body in range(len(parent) - 1, 1, -1):
        own, above = gram[body], gram[parent[body]]
        for i in range(21):
            for t in range(own.shape[1]):
                above[i, t] += own[i, t]
        own, above = force[body], force[parent[body]]
        for i in range(6):
            for t in range(own.shape[1]):
                above[i, t] += own[i, t]


@kernel
def fill(gram, force, basis, body, start, carrier, diagonal, gradient, blocks, total):
    """Write ``blocks[t, b, a]`` for a <= b, and `total` [T, n], from what `carry` has summed.

    ``carrier[start[d]:start[d + 1]]`` are the joints that carry degree of freedom d, itself last.
    """
    frames, dofs = basis.shape[2], len(body)
    # A few frames at a time: their products stay in the innermost cache until they are written to
    # the frames' blocks, which lie far apart.
    product = np.empty((len(carrier), TILE))
    moved = np.empty((dofs, 6, TILE))
    for begin in range(0, frames, TILE):
        end = min(begin + TILE, frames)
        for d in range(6, dofs):
            h, f, b, m = gram[body[d]], force[body[d]], basis[d], moved[d]
            for t in range(begin, end):
                x, y, z, u, v, w = b[0, t], b[1, t], b[2, t], b[3, t], b[4, t], b[5, t]
                i = t - begin
                m[0, i] = (h[0, t] * x + h[1, t] * y + h[2, t] * z
                           + h[6, t] * u + h[7, t] * v + h[8, t] * w)  # fmt: skip
                m[1, i] = (h[1, t] * x + h[3, t] * y + h[4, t] * z
                           + h[9, t] * u + h[10, t] * v + h[11, t] * w)  # fmt: skip
                m[2, i] = (h[2, t] * x + h[4, t] * y + h[5, t] * z
                           + h[12, t] * u + h[13, t] * v + h[14, t] * w)  # fmt: skip
                m[3, i] = (h[6, t] * x + h[9, t] * y + h[12, t] * z
                           + h[15, t] * u + h[16, t] * v + h[17, t] * w)  # fmt: skip
                m[4, i] = (h[7, t] * x + h[10, t] * y + h[13, t] * z
                           + h[16, t] * u + h[18, t] * v + h[19, t] * w)  # fmt: skip
                m[5, i] = (h[8, t] * x + h[11, t] * y + h[14, t] * z
                           + h[17, t] * u + h[19, t] * v + h[20, t] * w)  # fmt: skip
                total[t, d] = (gradient[d, t] + f[0, t] * x + f[1, t] * y + f[2, t] * z
                               + f[3, t] * u + f[4, t] * v + f[5, t] * w)  # fmt: skip
            for k in range(start[d], start[d + 1]):
                c = basis[carrier[k]]
                for i in range(end - begin):
                    t = begin + i
                    product[k, i] = (
                        m[0, i] * c[0, t] + m[1, i] * c[1, t] + m[2, i] * c[2, t]
                        + m[3, i] * c[3, t] + m[4, i] * c[4, t] + m[5, i] * c[5, t]
                    )  # fmt: skip
        for t in range(begin, end):
            block, i = blocks[t], t - begin
            for d in range(6, dofs):
                for k in range(3):
                    block[d, k] = moved[d, 3 + k, i]
                    block[d, 3 + k] = moved[d, k, i]
                for k in range(start[d], start[d + 1]):
                    block[d, carrier[k]] = product[k, i]
    h, f = gram[1], force[1]
    upper = ((0, 1, 2), (1, 3, 4), (2, 4, 5))
    for t in range(frames):
        block = blocks[t]
        for i in range(3):
            total[t, i] = gradient[i, t] + f[3 + i, t]
            total[t, 3 + i] = gradient[3 + i, t] + f[i, t]
            for j in range(3):
                block[3 + i, j] = h[6 + 3 * i + j, t]
            for j in range(i + 1):
                block[i, j] = h[15 + upper[i][j], t]
                block[3 + i, 3 + j] = h[upper[i][j], t]
        for d in range(dofs):
            block[d, d] += diagonal[d, t]


@kernel
def add_rows(blocks, gradient, frame, rows, residual):
    """Add dense rows [K, n] with residuals [K], each of one `frame` [K], to what `fill` wrote."""
    for k in range(len(frame)):
        block, row = blocks[frame[k]], rows[k]
        for b in range(len(row)):
            if row[b] == 0.0:
                continue
            gradient[frame[k], b] += residual[k] * row[b]
            for a in range(b + 1):
                block[b, a] += row[b] * row[a]
