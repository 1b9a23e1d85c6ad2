# SPDX-License-Identifier: Apache-2.0
TESTS += tests/lint/tree
EXTRA_DIST += tests/lint
