# SPDX-License-Identifier: BSD-3-Clause
"""Bad input to the daemon itself: one line that says what and why, and nothing changed."""

import hashlib
import json
import os
import socket
import sqlite3
import stat
import subprocess

import pytest

import softiov
from softiov import Daemon, Rpc, RpcError
from vfio_user import wait_until

PARSE, REQUEST, METHOD, PARAMS, REFUSED = -32700, -32600, -32601, -32602, -32000


def command(daemon, *words, stdin=None):
    """Run softiov against a daemon."""
    return subprocess.run([softiov.SOFTIOV, *words], input=stdin, capture_output=True, text=True,
                          check=False, timeout=softiov.PATIENCE,
                          env=dict(os.environ, SOFTIOV_SOCKET=daemon.api_path))


def configuration(daemon):
    return daemon.call("config.export")["objects"]


REFUSALS = [
    # method, parameters, code, words that the line must have
    ("switsh.add", {"name": "x"}, METHOD, ["switsh", "switch"]),
    ("vport", {}, METHOD, ["vport"]),
    ("vport.", {}, METHOD, ["vport"]),
    ("", {}, METHOD, []),
    ("vport.frobnicate", {}, METHOD, ["frobnicate", "add", "set", "del", "show"]),
    ("vport.sho", {}, METHOD, ["sho", "show"]),
    ("vport.add", {"name": "x", "switch": "lan", "colour": "red"}, PARAMS, ["vport", "x", "colour"]),
    ("vport.add", {"name": "x", "switch": "lan", "vlna": 3}, PARAMS, ["vlna", "vlan"]),
    ("vport.add", {"switch": "lan"}, PARAMS, ["name"]),
    ("vport.add", {"name": "x"}, PARAMS, ["switch"]),
    ("vport.add", {"name": "x", "switch": "wan"}, REFUSED, ["switch", "wan", "lan"]),
    ("vport.add", {"name": "x", "switch": "lan", "vlan": 4095}, PARAMS, ["vlan", "4095", "4094"]),
    ("vport.add", {"name": "x", "switch": "lan", "vlan": -1}, PARAMS, ["vlan", "-1"]),
    ("vport.add", {"name": "x", "switch": "lan", "vlan": "ten"}, PARAMS, ["vlan", "ten"]),
    ("vport.add", {"name": "x", "switch": "lan", "vlan": 1.5}, PARAMS, ["vlan"]),
    ("vport.add", {"name": "x", "switch": "lan", "vlan": [1]}, PARAMS, ["vlan"]),
    ("vport.add", {"name": "x", "switch": "lan", "trunk": "1-"}, PARAMS, ["trunk", "1-"]),
    ("vport.add", {"name": "x", "switch": "lan", "trunk": "20-10"}, PARAMS, ["trunk", "20-10"]),
    ("vport.add", {"name": "x", "switch": "lan", "mtu": 67}, PARAMS, ["mtu", "67", "68", "9710"]),
    ("vport.add", {"name": "x", "switch": "lan", "mtu": 9711}, PARAMS, ["mtu", "9711", "9710"]),
    ("vport.add", {"name": "x", "switch": "lan", "model": "e1000"}, PARAMS, ["model", "e1000", "82599", "x540"]),
    ("vport.add", {"name": "x", "switch": "lan", "iov": "perhaps"}, PARAMS, ["iov", "perhaps", "on"]),
    ("vport.add", {"name": "x", "switch": "lan", "mac": "02:00:00:00:00"}, PARAMS, ["mac", "02:00:00:00:00"]),
    ("vport.add", {"name": "x", "switch": "lan", "mac": "03:00:00:00:00:01"}, PARAMS, ["mac", "03:00"]),
    ("vport.add", {"name": "x", "switch": "lan", "mac": "00:00:00:00:00:00"}, PARAMS, ["mac"]),
    ("vport.add", {"name": "x", "switch": "lan", "mac": "02:00:00:00:00:01"}, None, ["mac", "02:00:00:00:00:01", "a"]),
    ("vport.add", {"name": "x", "switch": "lan", "owner": "nobody-of-that-name"}, PARAMS, ["owner", "nobody-of-that-name"]),
    ("vport.add", {"name": "a", "switch": "lan"}, REFUSED, ["vport", "a", "exists"]),
    ("vport.add", {"name": "-x", "switch": "lan"}, PARAMS, ["name", "-x"]),
    ("vport.add", {"name": "../x", "switch": "lan"}, PARAMS, ["name", "../x"]),
    ("vport.add", {"name": "", "switch": "lan"}, PARAMS, ["name"]),
    ("vport.add", {"name": "x" * 64, "switch": "lan"}, PARAMS, ["name"]),
    ("vport.add", {"name": "x\u0000y", "switch": "lan"}, PARSE, []),
    ("vport.add", {"name": 5, "switch": "lan"}, PARAMS, ["name"]),
    ("vport.set", {"name": "zz", "vlan": 5}, REFUSED, ["vport", "zz"]),
    ("vport.set", {"name": "a", "switch": "lan2"}, None, ["switch"]),
    ("vport.set", {"name": "a", "model": "x540"}, None, ["model"]),
    ("vport.set", {"name": "a", "rx-frames": 0}, None, ["rx-frames"]),
    ("vport.set", {"name": "a", "mac": "02:00:00:00:00:02"}, None, ["mac", "02:00:00:00:00:02", "b"]),
    ("vport.del", {"name": "zz"}, REFUSED, ["vport", "zz"]),
    ("vport.del", {}, PARAMS, ["name"]),
    ("vport.show", {"name": "zz"}, REFUSED, ["zz"]),
    ("switch.del", {"name": "lan"}, REFUSED, ["switch", "lan", "vport"]),
    ("switch.add", {"name": "y", "vfs": 257}, PARAMS, ["vfs", "257", "256"]),
    ("switch.set", {"name": "lan", "vfs": 2}, None, ["vfs", "2"]),
    ("switch.add", {"name": "y", "fdb-age": "1 fortnight"}, PARAMS, ["fdb-age", "1 fortnight"]),
    ("uplink.add", {"name": "u", "switch": "lan", "device": "no-such-if0"}, None, ["no-such-if0"]),
    ("uplink.add", {"name": "u", "switch": "lan"}, PARAMS, ["device"]),
    ("vport.qemu-args", {"name": "a", "device": "synthetic"}, None, ["synthetic"]),
    ("vport.qemu-args", {"name": "a", "memory": "much"}, PARAMS, ["memory", "much"]),
    ("config.apply", {}, PARAMS, ["objects"]),
    ("config.apply", {"objects": {"vport": {"x": {"switch": "nowhere"}}}}, None, ["nowhere"]),
    ("config.apply", {"objects": {"planet": {}}}, None, ["planet"]),
    ("config.apply", {"objects": 7}, PARAMS, ["config"]),
    ("host.show", {"name": "x", "colour": 1}, PARAMS, [])]


@pytest.mark.parametrize("method, params, code, words", REFUSALS)
def test_refusals(shared_daemon, method, params, code, words):
    before = configuration(shared_daemon)
    with pytest.raises(RpcError) as error:
        shared_daemon.rpc.call(method, params)
    assert code is None or error.value.code == code, error.value.message
    assert "\n" not in error.value.message
    said = error.value.message + json.dumps(error.value.data)
    for word in words:
        assert word in said, said
    assert configuration(shared_daemon) == before


def test_more_vfs_than_the_pool_has(shared_daemon):
    """Who can stay synthetic says why it does; who cannot is refused."""
    call = shared_daemon.call
    call("switch.add", name="tiny", vfs=1)
    call("vport.add", name="t1", switch="tiny", synthetic=False)
    with pytest.raises(RpcError, match="1 of 1"):
        call("vport.add", name="t2", switch="tiny", synthetic=False)
    call("vport.add", name="t3", switch="tiny")
    shown = shared_daemon.show("vport", "t3")
    assert "no VF left: 1 of 1" in shown["reasons"][0] and "vf-socket" not in shown
    call("vport.del", name="t1")
    assert shared_daemon.show("vport", "t3")["reasons"] == []
    call("vport.del", name="t3")
    call("switch.del", name="tiny")


# --- the protocol of the socket ---

LINES = [
    (b"", None), (b"   ", None), (b"nonsense", PARSE), (b"{", PARSE), (b"\xff\xfe", PARSE),
    (b'{"a": 1, "a": 2}', PARSE), (b"[]", REQUEST), (b"7", REQUEST), (b"null", REQUEST),
    (b'{"id": 1}', REQUEST), (b'{"jsonrpc": "1.0", "id": 1, "method": "host.show"}', REQUEST),
    (b'{"jsonrpc": "2.0", "id": {}, "method": "host.show"}', REQUEST),
    (b'{"jsonrpc": "2.0", "id": 1, "method": 5}', REQUEST),
    (b'{"jsonrpc": "2.0", "id": 1, "method": "vport.show", "params": [1]}', PARAMS),
    (b'{"jsonrpc": "2.0", "method": "no.such"}', None), (b"[" * 100000, PARSE),
    (b'{"jsonrpc": "2.0", "id": 1, "method": "' + b"x" * 5000 + b'"}', METHOD)]


def test_lines_that_are_no_requests(shared_daemon):
    rpc = Rpc(shared_daemon.api_path)
    for line, code in LINES:
        rpc.send_line(line + b"\n")
        if code is not None:
            assert rpc.receive()["error"]["code"] == code, line[:60]
        assert rpc.call("host.show")
    rpc.close()


def test_a_line_without_end(shared_daemon):
    rpc = Rpc(shared_daemon.api_path)
    try:
        for _ in range(80):  # 5 MiB, of which a line may have 4
            rpc.socket.sendall(b"x" * 65536)
    except ConnectionError:
        pass
    with pytest.raises((EOFError, ConnectionError)):
        while True:
            assert "error" in rpc.receive()
    rpc.close()
    assert shared_daemon.call("host.show")


def test_clients_that_break_off(shared_daemon):
    before = shared_daemon.n_fds()
    request = b'{"jsonrpc": "2.0", "id": 1, "method": "host.show"}\n'
    for length in range(len(request) + 1):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(shared_daemon.api_path)
            client.sendall(request[:length])
    rpc = Rpc(shared_daemon.api_path)
    assert rpc.call("host.show")
    rpc.close()
    assert shared_daemon.call("host.show")
    assert wait_until(lambda: shared_daemon.n_fds() == before)


def test_a_client_that_does_not_read(shared_daemon):
    rpc = Rpc(shared_daemon.api_path, timeout=1)
    with pytest.raises(OSError):
        for _ in range(100000):
            rpc.send_line('{"jsonrpc": "2.0", "id": 1, "method": "schema.show"}')
    assert shared_daemon.call("host.show")
    rpc.close()


# --- the command line, against the real daemon ---


@pytest.mark.parametrize("words, expected", [
    (["vprot", "show"], ["vprot", "vport"]),
    (["vport", "shew"], ["shew", "show"]),
    (["vport", "add", "x", "switch", "lan", "vlan", "5000"], ["vport", "x", "vlan", "5000", "4094"]),
    (["vport", "add", "x", "switch", "lan", "mac", "02:00:00:00:00:01"], ["x", "mac", "02:00:00:00:00:01"]),
    (["vport", "set", "a", "colour", "red"], ["colour"]),
    (["vport", "set", "a", "vlan"], ["vlan"]),
    (["vport", "show", "zz"], ["zz"]),
    (["switch", "set", "lan", "vfs", "1000"], ["lan", "vfs", "1000", "256"])])
def test_command_line_refusals(shared_daemon, words, expected):
    before = configuration(shared_daemon)
    done = command(shared_daemon, *words)
    assert done.returncode != 0 and done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    for word in expected:
        assert word in done.stderr, done.stderr
    assert configuration(shared_daemon) == before


GOOD_FILE = """switch:
  lan:
    vfs: 16
vport:
  a: {switch: lan, vlan: 5}
"""
BAD_FILES = [
    (GOOD_FILE.replace("vlan: 5", "vlan: 5000"), "5:", ["vlan", "5000"]),
    (GOOD_FILE.replace("vfs", "vsf"), "3:", ["vsf"]),
    (GOOD_FILE.replace("switch: lan,", "switch: wan,"), "5:", ["wan"]),
    (GOOD_FILE.replace("vlan: 5}", "vlan: 5"), "", []),
    (GOOD_FILE.replace("vport:", "vprot:"), "4:", ["vprot"]),
    (GOOD_FILE + "  a: {switch: lan}\n", "6:", ["a"]),
    ("\t- x: [", "1:", []),
    ("just text\n", "1:", [])]


@pytest.mark.parametrize("text, place, expected", BAD_FILES)
def test_a_file_with_one_bad_line(shared_daemon, tmp_path, text, place, expected):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    before = configuration(shared_daemon)
    done = command(shared_daemon, "apply", str(path))
    assert done.returncode != 0
    assert f"bad.yaml:{place}" in done.stderr, done.stderr
    for word in expected:
        assert word in done.stderr
    assert configuration(shared_daemon) == before


def test_apply_what_was_exported(daemon, tmp_path):
    exported = command(daemon, "export")
    assert exported.returncode == 0, exported.stderr
    path = tmp_path / "all.yaml"
    path.write_text(exported.stdout)
    before = configuration(daemon)
    done = command(daemon, "apply", str(path))
    assert done.returncode == 0, done.stderr
    assert configuration(daemon) == before
    path.write_text(exported.stdout.replace("02:00:00:00:00:03", "02:00:00:00:00:33"))
    done = command(daemon, "apply", str(path))
    assert done.returncode == 0 and "02:00:00:00:00:33" in done.stdout, done.stdout + done.stderr
    assert daemon.show("vport", "c")["mac"] == "02:00:00:00:00:33"


# --- sockets and folders that are not as they should be ---


def refused_start(daemon, words, status=1):
    daemon.spawn()
    try:
        assert daemon.wait() == status
    finally:
        daemon.kill()
    said = [line for line in daemon.log(5).splitlines() if line and not line.startswith("---")]
    for word in words:
        assert word in said[-1], said


@pytest.fixture
def unstarted(tmp_path):
    daemon = Daemon(tmp_path, start=False)
    yield daemon
    daemon.kill()
    daemon.remove_run_dir()


def test_a_second_daemon(daemon, tmp_path_factory):
    """On the same sockets, and on the same store."""
    second = Daemon(tmp_path_factory.mktemp("second"), run_dir=daemon.run_dir, start=False)
    refused_start(second, [daemon.api_path, "another process listens"])
    third = Daemon(daemon.folder, start=False)
    third.log_path += ".third"
    refused_start(third, [daemon.state_dir])
    third.remove_run_dir()
    assert daemon.call("host.show") and Rpc(daemon.api_path).call("host.show")


def test_a_socket_path_that_is_a_file(unstarted):
    with open(unstarted.api_path, "w", encoding="utf-8") as file:
        file.write("mine")
    refused_start(unstarted, [unstarted.api_path])
    with open(unstarted.api_path, encoding="utf-8") as file:
        assert file.read() == "mine"


def test_sockets_that_nobody_listens_on_any_more(unstarted):
    for _ in range(2):
        unstarted.start()
        if not unstarted.call("switch.show"):
            unstarted.call("switch.add", name="lan")
            unstarted.call("vport.add", name="a", switch="lan")
        assert stat.S_ISSOCK(os.stat(unstarted.vf_socket("a")).st_mode)
        unstarted.kill()
    unstarted.start()
    unstarted.stop()


def test_a_vf_socket_in_use(daemon):
    os.makedirs(daemon.run_dir + "/vf", exist_ok=True)
    path = daemon.run_dir + "/vf/x.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        with pytest.raises(RpcError, match="another process listens"):
            daemon.call("vport.add", name="x", switch="lan", synthetic=False)
        assert "x" not in configuration(daemon)["vport"]
    os.unlink(path)
    daemon.call("vport.add", name="x", switch="lan", synthetic=False)


@pytest.mark.parametrize("path", ["/proc/softiov-test", "/dev/null/x", "/sys/softiov-test"])
def test_folders_that_cannot_be_made(unstarted, path):
    unstarted.state_dir = path
    refused_start(unstarted, [path])


def test_a_run_folder_that_cannot_be_made(tmp_path):
    daemon = Daemon(tmp_path, run_dir="/proc/softiov-test", start=False)
    refused_start(daemon, ["/proc/softiov-test"])


@pytest.mark.parametrize("arguments, words", [
    (["--workers", "900"], ["--workers", "900"]), (["--workers", "x"], ["--workers", "x"]),
    (["--workers", ""], ["--workers"]), (["--idle-us", "5"], ["--idle-us", "5", "10"]),
    (["--idle-us", "1e9"], ["--idle-us", "1e9"]), (["--log-level", "loud"], ["loud", "debug"]),
    (["--colour"], ["--colour"]), (["--workers"], ["--workers", "value"]), (["stray"], ["stray"]),
    (["--config", "/nonexistent.yaml"], ["/nonexistent.yaml"])])
def test_command_lines_of_the_daemon(unstarted, arguments, words):
    unstarted.arguments = arguments
    refused_start(unstarted, words, status=2)


@pytest.mark.parametrize("text, words", [
    ("run-dir: /x\ncolour: red\n", [":2:1:", "colour"]), ("workers: 900\n", [":1:10:", "900"]),
    ("- list\n", [":1:1:"]), ("a: [", [":1:"]), ("run-dir: {a: b}\n", [":1:1:"])])
def test_configuration_files_of_the_daemon(unstarted, tmp_path, text, words):
    (tmp_path / "d.yaml").write_text(text)
    unstarted.arguments = ["--config", str(tmp_path / "d.yaml")]
    refused_start(unstarted, words, status=2)


# --- stores that are not as they should be ---


def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def damage_header(path):
    overwrite(path, 0, b"not a database, " * 8)


def damage_page(path):
    overwrite(path, 4096, b"\xff" * 512)


def cut(path):
    os.truncate(path, os.path.getsize(path) // 2 // 512 * 512)


def empty(path):
    os.truncate(path, 0)


def newer(path):
    execute(path, "PRAGMA user_version = 99")


def foreign(path):
    execute(path, "PRAGMA application_id = 1")


def bad_json(path):
    execute(path, "UPDATE objects SET json = '{' WHERE type = 'vport'")


def bad_value(path):
    execute(path, "UPDATE objects SET json = replace(json, '\"vlan\":0', '\"vlan\":9999')")


def overwrite(path, at, data):
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(data)


def execute(path, sql):
    with sqlite3.connect(path) as db:
        db.execute(sql)
    db.close()


@pytest.mark.parametrize("change, word", [
    (damage_header, "softiov.db"), (damage_page, "softiov.db"), (cut, "softiov.db"),
    (empty, "softiov.db"), (newer, "version 99"), (foreign, "another program"),
    (bad_json, "softiov.db"), (bad_value, "9999")])
def test_stores_that_cannot_be_used_are_left_as_they_are(unstarted, change, word):
    unstarted.start()
    unstarted.call("switch.add", name="lan")
    for i in range(20):
        unstarted.call("vport.add", name=f"v{i}", switch="lan", synthetic=False)
    unstarted.stop()
    path = os.path.join(unstarted.state_dir, "softiov.db")
    change(path)
    for name in os.listdir(unstarted.state_dir):
        if name.endswith(("-wal", "-shm")):
            os.unlink(os.path.join(unstarted.state_dir, name))
    before = digest(path)
    refused_start(unstarted, ["err store", word])
    assert digest(path) == before
    assert not [name for name in os.listdir(unstarted.run_dir) if name.endswith(".sock")]


def test_a_store_that_is_a_folder(unstarted):
    os.makedirs(os.path.join(unstarted.state_dir, "softiov.db"))
    refused_start(unstarted, ["softiov.db"])
