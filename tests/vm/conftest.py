# SPDX-License-Identifier: BSD-3-Clause
"""The lab, and stages of which each test file has one."""

import os

import pytest

from lab import Lab

pytest.register_assert_rewrite("stage")
from stage import Stage  # noqa: E402


@pytest.fixture(scope="session")
def lab():
    return Lab.open()


@pytest.fixture(scope="module")
def bare_stage(lab, tmp_path_factory):
    """A daemon with a switch and an uplink; the test file adds vports and guests."""
    if os.geteuid() != 0:
        pytest.skip("needs root: it makes network namespaces")
    with Stage(lab, tmp_path_factory.mktemp("stage")) as stage:
        yield stage


@pytest.fixture(scope="module")
def trio(lab, bare_stage):
    """Guests on each kind of adapter: "vf82599" and "vfx540" (each on another kernel) and "synthetic"."""
    bare_stage.add_vport("vf82599", mac="02:00:00:00:00:01")
    bare_stage.add_vport("vfx540", model="x540", mac="02:00:00:00:00:02")
    bare_stage.add_vport("synthetic", iov=False, synthetic=True, mac="02:00:00:00:00:03")
    bare_stage.boot("vf82599", kernel=lab.kernels[0], mem=512)
    bare_stage.boot("vfx540", kernel=lab.kernels[-1], mem=512)
    bare_stage.boot("synthetic", kernel=lab.kernels[0], mem=512)
    bare_stage.ready()
    return bare_stage


@pytest.fixture(scope="module")
def duo(bare_stage):
    """Guests on a VF and on a synthetic adapter: "vf" and "synthetic"."""
    bare_stage.add_vport("vf", mac="02:00:00:00:00:01")
    bare_stage.add_vport("synthetic", iov=False, synthetic=True, mac="02:00:00:00:00:02")
    for name in ("vf", "synthetic"):
        bare_stage.boot(name, mem=512)
    bare_stage.ready()
    return bare_stage


@pytest.fixture(autouse=True)
def no_complaints(request):
    """After each test on a stage: no guest's kernel complained, and the daemon runs."""
    yield
    if "bare_stage" in request.fixturenames:
        request.getfixturevalue("bare_stage").check()
