# SPDX-License-Identifier: BSD-3-Clause
"""Guests that boot from the network: iPXE's drivers are the first to see the adapter, Linux's the second.

    iPXE -- vport -- switch -- outside: HTTP, TFTP

iPXE has drivers of its own for these VFs and for virtio-net, which poll and know no interrupt. That
Linux starts shows that 40 MB came over unchanged.
"""

import os

import pytest

from guest import KERNEL_ARGUMENTS

HERE = os.path.dirname(os.path.abspath(__file__))
# iPXE 1.21's igbvf never reclaims transmit descriptors again once all its eight are in use, as the
# acknowledgements of a burst may have it. TFTP has one frame under way.
PROTOCOL = {"82599": "http", "x540": "http", "x550": "http", "synthetic": "http", "82576": "tftp", "i350": "tftp"}


@pytest.fixture(scope="module")
def stage(lab, bare_stage, tmp_path_factory):
    """With servers outside that have a kernel and a script that boots it."""
    folder, outside, version = tmp_path_factory.mktemp("boot"), bare_stage["outside"], lab.kernel()
    (folder / "vmlinuz").symlink_to(os.path.join(lab.folder, "kernels", version, "vmlinuz"))
    (folder / "initrd").symlink_to(lab.initramfs(version))
    for scheme in ("http", "tftp"):
        (folder / scheme).write_text(f"""#!ipxe
kernel {scheme}://{outside.address}/vmlinuz {KERNEL_ARGUMENTS} lab.name=netboot initrd=initrd
initrd {scheme}://{outside.address}/initrd
boot
""")
    jobs = [outside.spawn(f"exec python3 -m http.server -d {folder} 80"),
            outside.spawn(f"exec python3 {HERE}/tftpd.py {folder}")]
    yield bare_stage
    for job in jobs:
        job.kill()


@pytest.mark.parametrize("model", PROTOCOL)
def test_boot(lab, stage, tmp_path, model):
    if model == "synthetic":
        stage.add_vport(model, iov=False, synthetic=True)
    else:
        stage.add_vport(model, model=model)
    node, outside = stage[model], stage["outside"]
    script = tmp_path / "script"
    script.write_text(f"""#!ipxe
ifopen net0
set net0/ip {node.address}
set net0/netmask 255.255.255.0
:again
chain {PROTOCOL[model]}://{outside.address}/{PROTOCOL[model]} || goto again
""")
    firmware = os.path.join(lab.packages("ipxe"), "usr/lib/ipxe/ipxe.lkrn")
    stage.boot(model, mem=512, boot=["-kernel", firmware, "-initrd", str(script)])
    stage.ready(model)
    stage.works(model)
    stage.guests[model].kill()
