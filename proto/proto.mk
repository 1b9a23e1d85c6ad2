# SPDX-License-Identifier: Apache-2.0
include proto/ctl.mk
include proto/wire.mk
include proto/xport.mk
