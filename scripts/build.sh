#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Configures a build folder if it is not, and builds it:  build.sh FOLDER [MESON-OPTION]...
# A folder that was configured with other options is configured again. SOFTIOV_WERROR=1, as CI sets it,
# makes warnings errors.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$1
shift
[ -n "${SOFTIOV_WERROR:-}" ] && werror=true || werror=false
set -- "-Dwerror=$werror" "$@"
stamp="$folder/configured"
# Debian's own tools: PATH may begin with another Python, in which meson does not work.
PATH="/usr/bin:/bin:$PATH"

if [ ! -e "$folder/build.ninja" ]; then
	meson setup "$folder" "$@"
	echo "$*" >"$stamp"
elif [ "$(cat "$stamp" 2>/dev/null)" != "$*" ]; then
	meson setup --reconfigure "$folder" "$@"
	echo "$*" >"$stamp"
fi
ninja -C "$folder" | grep -vE '^ninja: (Entering|no work)' || exit "${PIPESTATUS[0]}"
