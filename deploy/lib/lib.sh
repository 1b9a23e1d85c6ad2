# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# Sourced by every program of deploy/ and by tests/check: finds the tree and takes in the parts.

MB_DEPLOY=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck disable=SC2034 # for those who source this
MB_TOP=$(dirname "$MB_DEPLOY")
PATH=$PATH:/usr/sbin:/sbin
umask 022

# shellcheck source=deploy/lib/log.sh
. "$MB_DEPLOY/lib/log.sh"
# shellcheck source=deploy/lib/cleanup.sh
. "$MB_DEPLOY/lib/cleanup.sh"
# shellcheck source=deploy/lib/pkg.sh
. "$MB_DEPLOY/lib/pkg.sh"
# shellcheck source=deploy/lib/cache.sh
. "$MB_DEPLOY/lib/cache.sh"
# shellcheck source=deploy/lib/debian.sh
. "$MB_DEPLOY/lib/debian.sh"
