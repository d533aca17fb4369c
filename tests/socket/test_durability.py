# SPDX-License-Identifier: BSD-3-Clause
"""What was acknowledged is there after a SIGKILL at any moment; what was not is there whole or not."""

import random
import threading
import time

from ixgbevf import Ixgbevf
from softiov import Daemon, RpcError
from vfio_user import wait_until


class Changes(threading.Thread):
    """Changes one after the other, and what must be there if the daemon dies now.

    `names` maps a vport to its VLAN; `pending` is the change that was sent and not yet acknowledged.
    """

    def __init__(self, daemon, names, seed):
        super().__init__(daemon=True)
        self.rpc = daemon.rpc
        self.names = names
        self.pending = None
        self.source = random.Random(seed)
        self.count = 0
        self.refused = None

    def next_change(self):
        word = self.source.random()
        vlan = self.source.randrange(1, 4095)
        if word < 0.5 or not self.names:
            name = f"v{self.source.randrange(60)}"
            if name in self.names:
                return "vport.set", name, vlan
            return "vport.add", name, vlan
        name = self.source.choice(sorted(self.names))
        return ("vport.set", name, vlan) if word < 0.8 else ("vport.del", name, None)

    def run(self):
        while True:
            method, name, vlan = self.pending = self.next_change()
            params = {"name": name} if vlan is None else {"name": name, "vlan": vlan}
            if method == "vport.add":
                params.update(switch="lan", iov=False, synthetic=False)
            try:
                self.rpc.call(method, params)
            except RpcError as error:
                self.refused = error
                return
            except (EOFError, OSError):
                return
            if vlan is None:
                del self.names[name]
            else:
                self.names[name] = vlan
            self.pending = None
            self.count += 1


def stored(daemon):
    return {name: fields.get("vlan", 0)
            for name, fields in daemon.call("config.export")["objects"].get("vport", {}).items()}


def test_killed_while_changes_are_made(tmp_path):
    daemon = Daemon(tmp_path)
    source = random.Random(40)
    names, total = {}, 0
    try:
        daemon.call("switch.add", name="lan")
        for round_number in range(15):
            changes = Changes(daemon, dict(names), round_number)
            changes.start()
            assert wait_until(lambda changes=changes: changes.count > 2)
            time.sleep(source.uniform(0, 0.3))
            daemon.process.kill()
            daemon.process.wait()
            changes.join()
            assert changes.refused is None, changes.refused
            total += changes.count
            daemon.start()
            names = stored(daemon)
            without = dict(changes.names)
            after = dict(changes.names)
            if changes.pending:
                _, name, vlan = changes.pending
                after.pop(name, None)
                if vlan is not None:
                    after[name] = vlan
            assert names in (without, after), f"round {round_number}"
            assert {item["name"] for item in daemon.call("vport.show")} == set(names)
        assert total > 30
        daemon.stop()
    finally:
        daemon.kill()
        daemon.remove_run_dir()


def test_an_apply_is_all_or_nothing(tmp_path):
    """Twenty vports at once; killed somewhere in it."""
    daemon = Daemon(tmp_path)
    source = random.Random(41)
    seen = set()
    try:
        daemon.call("switch.add", name="lan")
        for round_number in range(12):
            vlan = round_number + 1
            old = stored(daemon)
            new = {f"v{i}": {"switch": "lan", "vlan": vlan, "iov": False, "synthetic": False}
                   for i in range(20)}
            thread = threading.Thread(target=apply, args=(daemon.rpc, new), daemon=True)
            thread.start()
            time.sleep(source.uniform(0, 0.03))
            daemon.process.kill()
            daemon.process.wait()
            thread.join()
            daemon.start()
            now = stored(daemon)
            assert now in (old, {name: vlan for name in new}), f"round {round_number}"
            seen.add(now == old)
        daemon.stop()
    finally:
        daemon.kill()
        daemon.remove_run_dir()


def apply(rpc, vports):
    try:
        rpc.call("config.apply", {"objects": {"switch": {"lan": {}}, "vport": vports}})
    except (EOFError, OSError):
        pass


def test_vms_come_back_to_a_daemon_that_was_killed(tmp_path):
    """The same sockets, the same addresses; the driver starts anew, as after a hot-plug."""
    daemon = Daemon(tmp_path)
    try:
        daemon.call("switch.add", name="lan")
        for name in "ab":
            daemon.call("vport.add", name=name, switch="lan", synthetic=False)
        path = daemon.vf_socket("a")
        with Ixgbevf(path) as nic:
            mac = nic.open().mac
            daemon.kill()
            assert nic.client.closed_by_server()
        daemon.start()
        assert daemon.vf_socket("a") == path
        with Ixgbevf(path) as nic:
            assert nic.open().mac == mac
            assert wait_until(lambda: daemon.show("vport", "a")["path"] == "vf")
        daemon.stop()
    finally:
        daemon.kill()
        daemon.remove_run_dir()
