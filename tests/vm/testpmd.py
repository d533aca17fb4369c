# SPDX-License-Identifier: BSD-3-Clause
"""testpmd in a guest that was booted with Lab.dpdk_initramfs(), and how the guest's VFs come to it.

testpmd has a serial port of the guest to itself, on which it is spoken to as at a terminal:

    guest = lab.guest("pmd", initramfs=lab.dpdk_initramfs(kernel), extra=testpmd.serial_args(path), ...)
    testpmd.take_over(guest, 1)
    with Testpmd(guest, path, ["0000:01:00.0"], "--rxq=4 --txq=4") as pmd:
        pmd.run("set fwd rxonly", "start")
"""

import re
import select
import socket
import time

from guest import PATIENCE

PROMPT = "testpmd> "
HUGEPAGES = 96


def serial_args(path):
    """QEMU arguments of the serial port, the guest's third."""
    return ["-chardev", f"socket,id=testpmd,path={path},server=on,wait=off", "-serial", "chardev:testpmd"]


def take_over(guest, n_vfs):
    """Hand all VFs of the guest over from the kernel's drivers to uio_pci_generic; {mac: PCI address}."""
    found = {row["mac"]: row["pci"] for row in guest.netdevs() if row["driver"] in ("ixgbevf", "igbvf")}
    assert len(found) == n_vfs, found
    # DPDK opens no drivers below a folder that everybody may write to, as an initramfs' root is.
    guest.run(f"chmod 755 /; echo {HUGEPAGES} >/proc/sys/vm/nr_hugepages; mkdir -p /dev/hugepages; "
              "mount -t hugetlbfs hugetlbfs /dev/hugepages; "
              "insmod /opt/dpdk/uio.ko && insmod /opt/dpdk/uio_pci_generic.ko")
    for pci in found.values():
        device = f"/sys/bus/pci/devices/{pci}"
        guest.run(f"echo uio_pci_generic >{device}/driver_override; echo {pci} >{device}/driver/unbind; "
                  f"echo {pci} >/sys/bus/pci/drivers_probe")
    return found


class Testpmd:
    """A running testpmd; a context manager that ends it in order."""

    __test__ = False

    def __init__(self, guest, path, addresses, arguments="", timeout=PATIENCE):
        self.guest = guest
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        allow = " ".join(f"-a {address}" for address in addresses)
        self.job = guest.spawn("stty -F /dev/ttyS2 raw -echo; testpmd --in-memory -l 0,1 "
                               f"--iova-mode=pa --no-telemetry {allow} -- -i --port-topology=loop --nb-cores=1 "
                               f"--no-flush-rx --total-num-mbufs=16384 {arguments} </dev/ttyS2 >/dev/ttyS2 2>&1")
        self.start = self.until(PROMPT, timeout)

    def __enter__(self):
        return self

    def __exit__(self, kind, _value, _trace):
        try:
            if kind is None:
                self.socket.sendall(b"quit\n")
                self.until("Bye...", PATIENCE)
                self.job.wait()
            else:
                self.job.kill()
        finally:
            self.socket.close()

    def until(self, wanted, timeout, after=""):
        """What testpmd says up to some words behind others. It stands still if nobody listens to it."""
        text = ""
        deadline = time.monotonic() + timeout
        while True:
            start = text.find(after) + len(after)
            if after in text and wanted in text[start:]:
                return text[start:].replace("\r", "")
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.socket], [], [], left)[0]:
                raise self.guest.error(f"testpmd: no {wanted!r} after {after!r}:\n{text}")
            text += self.socket.recv(65536).decode(errors="replace")

    def run(self, *lines, timeout=PATIENCE):
        """What testpmd says to the last of some commands."""
        text = ""
        for line in lines:
            self.socket.sendall(line.encode() + b"\n")
            text = self.until(PROMPT, timeout, line)
        return text

    def statistics(self, port):
        """The counters of `show port stats` and `show port xstats`, by their names."""
        text = self.run(f"show port stats {port}") + self.run(f"show port xstats {port}")
        return {name: int(value) for name, value in re.findall(r"([\w-]+):\s+(\d+)", text)}
