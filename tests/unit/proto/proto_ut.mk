# SPDX-License-Identifier: Apache-2.0
include tests/unit/proto/beat_ut.mk
include tests/unit/proto/xport_ut.mk
include tests/unit/proto/ctl_ut.mk
include tests/unit/proto/page_ut.mk
