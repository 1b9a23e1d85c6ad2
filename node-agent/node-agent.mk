# SPDX-License-Identifier: Apache-2.0
include node-agent/slice_ctl.mk
include node-agent/agent.mk
include node-agent/slice.mk
