# SPDX-License-Identifier: BSD-3-Clause
"""A fake daemon for each test, and a way to run softiov against it."""
import json
import os
import pathlib
import signal
import subprocess

import pytest

from softiov import PATIENCE

SOFTIOV = os.environ["SOFTIOV"]
FAKE_DAEMON = os.environ["FAKE_DAEMON"]


class Lab:
    """A run folder, a state folder, a daemon that may run."""

    def __init__(self, path):
        self.run_dir = path / "run"
        self.state_dir = path / "state"
        self.run_dir.mkdir()
        self.path = path
        self.daemon = None

    def start(self):
        self.daemon = subprocess.Popen(
            [FAKE_DAEMON, self.run_dir, self.state_dir],
            stdout=subprocess.PIPE, stderr=open(self.path / "log", "a"), text=True)
        assert self.daemon.stdout.readline() == "ready\n", self.log()

    def stop(self, how=signal.SIGTERM):
        """Ends the daemon; a clean end must be clean."""
        if self.daemon:
            self.daemon.send_signal(how)
            code = self.daemon.wait(timeout=PATIENCE)
            self.daemon = None
            assert code == (0 if how == signal.SIGTERM else -how), self.log()

    def log(self):
        return (self.path / "log").read_text()

    def run(self, *args, **kwargs):
        env = dict(os.environ, SOFTIOV_SOCKET=str(self.run_dir / "softiov.sock"), TZ="UTC")
        env.update(kwargs.pop("env", {}))
        return subprocess.run([SOFTIOV, *map(str, args)], env=env, text=True, timeout=PATIENCE,
                              capture_output=True, **kwargs)

    def ok(self, *args, **kwargs):
        """The output of a command that must work without a word on standard error."""
        done = self.run(*args, **kwargs)
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    def refused(self, *args, code=1, **kwargs):
        """The one line of a command that must fail."""
        done = self.run(*args, **kwargs)
        assert done.returncode == code, done
        assert done.stderr.count("\n") == 1, done.stderr
        return done.stderr[:-1]

    def json(self, *args):
        return json.loads(self.ok("--json", *args))

    def write(self, text, name="net.yaml"):
        path = self.path / name
        path.write_text(text)
        return path


@pytest.fixture
def stopped(tmp_path):
    lab = Lab(tmp_path)
    yield lab
    lab.stop()


@pytest.fixture
def lab(stopped):
    stopped.start()
    return stopped


@pytest.fixture
def root():
    return pathlib.Path(__file__).resolve().parents[2]
