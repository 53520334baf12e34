from __future__ import annotations

import pytest
import torch

from mimic.envs.threads import ENVS_PER_THREAD, few_threads


@pytest.mark.parametrize(("num_envs", "wanted"), [(1, 1), (2047, 1), (4096, 2), (10**6, 3)])
def test_threads_grow_with_environments_and_come_back(num_envs: int, wanted: int) -> None:
    assert ENVS_PER_THREAD == 2048
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with pytest.raises(RuntimeError), few_threads(num_envs):
            assert torch.get_num_threads() == wanted
            raise RuntimeError
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
