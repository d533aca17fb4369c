# SPDX-License-Identifier: BSD-3-Clause
"""Captures by the command line, read by tshark."""

import json
import os
import subprocess

from softiov import SOFTIOV
from vfio_user import wait_until

FIELDS = ["frame.interface_name", "frame.interface_description", "frame.packet_flags_direction", "frame.packet_id",
          "frame.comment", "frame.cap_len", "frame.len", "eth.src", "eth.dst", "vlan.id", "frame.time_epoch"]
IN, OUT = "0x00000001", "0x00000002"


def tshark(path, *fields, options=()):
    """The named fields of each frame of a file."""
    arguments = [argument for field in fields for argument in ("-e", field)]
    done = subprocess.run(["tshark", "-n", "-r", str(path), "-T", "json", "--no-duplicate-keys", *arguments, *options],
                          check=True, capture_output=True, text=True)
    frames = [frame["_source"].get("layers", {}) for frame in json.loads(done.stdout)]
    return [tuple(frame.get(field, [None])[0] for field in fields) for frame in frames]


def running(daemon):
    return {capture["name"] for capture in daemon.call("capture.show") if capture["state"] == "running"}


class Capture:
    """`softiov capture start ...`, from when it runs."""

    def __init__(self, daemon, *words, path, **popen):
        self.daemon, self.path = daemon, path
        before = running(daemon)
        self.process = subprocess.Popen([SOFTIOV, "--socket", daemon.api_path, "capture", "start", *words, "-w", str(path)],
                                        stderr=subprocess.PIPE, text=True, env=dict(os.environ), **popen)
        assert wait_until(lambda: running(daemon) - before or self.process.poll() is not None)
        new = running(daemon) - before
        self.name = new.pop() if new else None

    def show(self):
        return self.daemon.show("capture", self.name)

    def end(self):
        """Waits for the command's end; its last line."""
        _, errors = self.process.communicate(timeout=30)
        return errors.strip()

    def stop(self):
        self.daemon.call("capture.stop", name=self.name)
        line = self.end()
        assert self.process.returncode == 0, line
        return line

    def frames(self, *fields):
        return tshark(self.path, *fields)
