#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Everything that make needs beside the compiler: Debian's packages, the VM lab, housekeeping.
#
#   setup.sh packages   install what scripts/packages lists and this host lacks
#   setup.sh lab        fetch QEMU, kernels and guest tools into build/lab (SOFTIOV_LAB: elsewhere)
#   setup.sh format     clang-format over all C files
#   setup.sh clean      remove build folders, not build/lab
#
# Where nothing is missing, nothing is fetched, and neither network nor root is needed.
set -euo pipefail
cd "$(dirname "$0")/.."

die()
{
	echo "setup: error: $*" >&2
	exit 1
}

missing_packages()
{
	local package

	grep -v '^#' scripts/packages | while read -r package; do
		[ -n "$package" ] || continue
		# shellcheck disable=SC2016 # dpkg-query's own variable
		case "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" in
		installed) ;;
		*) echo "$package" ;;
		esac
	done
}

# Runs a command as root, by sudo if need be.
as_root()
{
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		die "packages are missing and this is neither root nor is there sudo; as root run:" \
			"apt-get install --no-install-recommends ${missing[*]}"
	fi
}

packages()
{
	command -v dpkg-query >/dev/null || die "this is no Debian: install what scripts/packages lists"
	mapfile -t missing < <(missing_packages)
	[ ${#missing[@]} -gt 0 ] || return 0
	echo "setup: installing ${#missing[@]} packages: ${missing[*]}"
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o Acquire::Retries=3 update
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o Acquire::Retries=3 \
		install -y --no-install-recommends "${missing[@]}"
}

lab()
{
	/usr/bin/python3 tests/vm/lab.py setup
}

format()
{
	find src include cli bench tests -name '*.[ch]' -print0 | xargs -0 -r clang-format-14 -i
}

# The lab lies in build/ and cost a download: it stays.
clean()
{
	rm -rf build-asan build-fuzz
	[ ! -d build ] || find build -mindepth 1 -maxdepth 1 ! -name lab -exec rm -rf {} +
}

case "${1:-}" in
packages | lab | format | clean) "$1" ;;
*) die "usage: setup.sh packages|lab|format|clean" ;;
esac
