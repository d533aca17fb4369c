# SPDX-License-Identifier: BSD-3-Clause
"""Captures by the command line, read by tshark."""

import json
import signal
import subprocess

from softiov import PATIENCE, SOFTIOV, wait_until

IN, OUT = "0x00000001", "0x00000002"


def tshark(path, *fields):
    """The named fields of each frame of a file."""
    arguments = [argument for field in fields for argument in ("-e", field)]
    done = subprocess.run(["tshark", "-n", "-r", str(path), "-T", "json", "--no-duplicate-keys", *arguments],
                          check=True, capture_output=True, text=True)
    frames = [frame["_source"].get("layers", {}) for frame in json.loads(done.stdout)]
    return [tuple(frame.get(field, [None])[0] for field in fields) for frame in frames]


def softiov(daemon, *words):
    return subprocess.run([SOFTIOV, "--socket", daemon.api_path, *words], capture_output=True, text=True, check=False, timeout=PATIENCE)


softiov.path = SOFTIOV


def running(daemon):
    return {capture["name"] for capture in daemon.call("capture.show") if capture["state"] == "running"}


def names(daemon):
    return {capture["name"] for capture in daemon.call("capture.show")}


def heed_ctrl_c():
    """What a shell starts in the background ignores it, and so does all that is started by that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Capture:
    """`softiov capture start ...`, from when it runs."""

    def __init__(self, daemon, *words, path, prefix=(), **popen):
        self.daemon, self.path = daemon, path
        before = names(daemon)
        self.process = subprocess.Popen([*prefix, SOFTIOV, "--socket", daemon.api_path, "capture", "start", *words, "-w", str(path)],
                                        stderr=subprocess.PIPE, text=True, preexec_fn=heed_ctrl_c, **popen)
        assert wait_until(lambda: names(daemon) - before or self.process.poll() is not None)
        self.name = (names(daemon) - before).pop()
        assert wait_until(lambda: self.show()["state"] == "ended" or self.show()["bytes"])

    def show(self):
        return self.daemon.show("capture", self.name)

    def end(self):
        """Waits for the command's end; its last line."""
        _, errors = self.process.communicate(timeout=PATIENCE)
        return errors.strip()

    def stop(self):
        self.daemon.call("capture.stop", name=self.name)
        line = self.end()
        assert self.process.returncode == 0, line
        return line

    def frames(self, *fields):
        return tshark(self.path, *fields)
