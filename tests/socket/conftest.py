# SPDX-License-Identifier: BSD-3-Clause
"""Daemons for the socket tests: one for each test file, or one of a test's own."""

import pytest

from ixgbevf import Ixgbevf
from softiov import Daemon


@pytest.fixture
def daemon(tmp_path):
    """A daemon of the test's own, with a switch and vports a, b and c with VFs."""
    with Daemon(tmp_path) as daemon:
        add_vports(daemon)
        yield daemon


@pytest.fixture(scope="module")
def shared_daemon(tmp_path_factory):
    """The same, for all tests of a file; each leaves the configuration as it was."""
    with Daemon(tmp_path_factory.mktemp("daemon")) as daemon:
        add_vports(daemon)
        yield daemon


def add_vports(daemon):
    daemon.call("switch.add", name="lan")
    for i, name in enumerate("abc", start=1):
        daemon.call("vport.add", name=name, switch="lan", mac=f"02:00:00:00:00:0{i}",
                    synthetic=False, model="x540" if name == "b" else "82599")


@pytest.fixture
def nics(shared_daemon):
    """Three VFs whose drivers are up: a and c of the 82599, b of the X540."""
    opened = []
    try:
        for name in "abc":
            opened.append(Ixgbevf(shared_daemon.vf_socket(name)))
            opened[-1].open()
        yield opened
    finally:
        for nic in opened:
            nic.close()
