# SPDX-License-Identifier: Apache-2.0
include coordinator/coord.mk
include coordinator/cli.mk
