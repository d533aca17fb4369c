# SPDX-License-Identifier: BSD-3-Clause
"""A softiovd of a test's own: started in a folder, spoken to by JSON-RPC, checked when it ends.

    with Daemon(tmp_path) as daemon:
        daemon.call("switch.add", name="lan")
        daemon.call("vport.add", name="a", switch="lan")
        path = daemon.vf_socket("a")

The binaries are those of the build folder that SOFTIOV_BUILD names, build/ by default. Sockets are
kept in a short folder of their own, since a Unix socket's path has at most 107 bytes.
"""

import contextlib
import glob
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("SOFTIOV_BUILD") or os.path.join(ROOT, "build"))
SOFTIOVD = os.path.join(BUILD, "src/daemon/softiovd")
SOFTIOV = os.path.join(BUILD, "cli/softiov")
# For what comes at once, on a machine that is busy with something else.
PATIENCE = 60
START_SECONDS = STOP_SECONDS = PATIENCE


def wait_until(condition, seconds=PATIENCE, pause=0.005):
    """What condition() returned when it was true at last, or its last false value."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value or time.monotonic() > deadline:
            return value
        time.sleep(pause)


class DaemonError(Exception):
    """The daemon did not start, or did not end as it should."""


class RpcError(Exception):
    """An error answer: `code` and `data` as in the answer, the text as the message."""

    def __init__(self, error):
        super().__init__(error["message"])
        self.code = error["code"]
        self.message = error["message"]
        self.data = error.get("data", {})


class Rpc:
    """One connection to the management socket."""

    def __init__(self, path, timeout=PATIENCE):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout)
        try:
            self.socket.connect(path)
        except OSError:
            self.socket.close()
            raise
        self.rest = b""
        self.last_id = 0

    def send_line(self, line):
        self.socket.sendall(line if isinstance(line, bytes) else line.encode() + b"\n")

    def receive(self):
        """The next object from the daemon; raises EOFError when it has closed the connection."""
        while b"\n" not in self.rest:
            data = self.socket.recv(1 << 16)
            if not data:
                raise EOFError("softiovd closed the connection")
            self.rest += data
        line, _, self.rest = self.rest.partition(b"\n")
        return json.loads(line)

    def call(self, method, params=None):
        self.last_id += 1
        self.send_line(json.dumps({"jsonrpc": "2.0", "id": self.last_id, "method": method,
                                   "params": params or {}}))
        while True:
            answer = self.receive()
            # What cannot be read as a request is answered without an id.
            if answer.get("id") == self.last_id or "error" in answer and answer.get("id") is None:
                break
        if "error" in answer:
            raise RpcError(answer["error"])
        return answer["result"]

    def close(self):
        self.socket.close()


def sanitizer_env(log):
    """Reports of a daemon built with sanitizers go to files named log.PID."""
    return {"ASAN_OPTIONS": f"exitcode=99:detect_leaks=1:log_path={log}",
            "UBSAN_OPTIONS": f"halt_on_error=1:exitcode=99:print_stacktrace=1:log_path={log}",
            "LSAN_OPTIONS": f"suppressions={ROOT}/tests/lsan.supp:print_suppressions=0"}


class Daemon:
    """`folder` keeps the store and the log; give it to the next Daemon and it goes on from there. With
    `netns` it runs in that network namespace."""

    def __init__(self, folder, *arguments, run_dir=None, start=True, netns=None):
        self.folder = str(folder)
        self.prefix = ["ip", "netns", "exec", netns] if netns else []
        self.own_run_dir = run_dir is None
        self.run_dir = run_dir or tempfile.mkdtemp(prefix="softiov-")
        self.state_dir = os.path.join(self.folder, "state")
        self.log_path = os.path.join(self.folder, "softiovd.log")
        self.report_path = os.path.join(self.folder, "sanitizer")
        self.arguments = list(arguments)
        self.process = None
        self.rpc = None
        if start:
            self.start()

    @property
    def api_path(self):
        return os.path.join(self.run_dir, "softiov.sock")

    @property
    def pid(self):
        return self.process.pid

    def spawn(self):
        """Start the process and do not wait for anything."""
        os.makedirs(self.folder, exist_ok=True)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, SOFTIOVD, "--run-dir", self.run_dir, "--state-dir", self.state_dir,
                 *self.arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=dict(os.environ, **sanitizer_env(self.report_path)))

    def start(self):
        self.spawn()
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.rpc = Rpc(self.api_path)
                return
            except OSError:
                pass
            if self.process.poll() is not None:
                raise DaemonError(f"softiovd ended with {self.process.returncode}\n{self.log()}")
            if time.monotonic() > deadline:
                self.kill()
                raise DaemonError(f"softiovd does not answer\n{self.log()}")
            time.sleep(0.02)

    def call(self, method, **params):
        """Call a method; parameter names may be written with `_` for `-`."""
        return self.rpc.call(method, {key.replace("_", "-"): value
                                      for key, value in params.items()})

    def show(self, kind, name):
        return self.call(kind + ".show", name=name)[0]

    def vf_socket(self, vport):
        return self.show("vport", vport)["vf-socket"]

    def log(self, lines=40):
        """The log's end, and what sanitizers reported."""
        texts = []
        for path in [self.log_path, *sorted(glob.glob(self.report_path + ".*"))]:
            with open(path, encoding="utf-8", errors="replace") as file:
                tail = file.read().splitlines()[-lines if path == self.log_path else 0:]
            texts.append(f"--- {os.path.basename(path)} ---\n" + "\n".join(tail))
        return "\n".join(texts)

    @contextlib.contextmanager
    def held(self):
        """Nothing of it runs. A signal to stop takes effect some time after it is sent."""
        def stands():
            for path in glob.glob(f"/proc/{self.pid}/task/*/stat"):
                with open(path, encoding="utf-8") as file:
                    if file.read().rpartition(")")[2].split()[0] != "T":
                        return False
            return True

        os.kill(self.pid, signal.SIGSTOP)
        try:
            assert wait_until(stands)
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    def n_fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def wait(self, seconds=STOP_SECONDS):
        """Wait for the process to end by itself; returns its status."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise DaemonError(f"softiovd still runs after {seconds} s\n{self.log()}") from None

    def kill(self, signal_number=signal.SIGKILL):
        if self.rpc:
            self.rpc.close()
            self.rpc = None
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal_number)
            self.process.wait(STOP_SECONDS)

    def stop(self):
        """End it in order: status 0, no sanitizer report, no socket left behind."""
        if self.rpc:
            self.rpc.close()
            self.rpc = None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.wait()
        finally:
            self.kill()
        if status != 0 or glob.glob(self.report_path + ".*"):
            raise DaemonError(f"softiovd ended with {status}\n{self.log()}")
        left = [path for path in glob.glob(self.run_dir + "/**", recursive=True)
                if path.endswith(".sock")]
        if left:
            raise DaemonError(f"softiovd left sockets behind: {left}")

    def remove_run_dir(self):
        if self.own_run_dir:
            shutil.rmtree(self.run_dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        try:
            if kind is None:
                self.stop()
            else:
                print(self.log())
                self.kill()
        finally:
            self.remove_run_dir()
