# SPDX-License-Identifier: Apache-2.0
include tests/unit/proto/xport_ut.mk
