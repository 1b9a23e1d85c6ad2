# SPDX-License-Identifier: Apache-2.0
# Nothing is compiled here; the man page is installed and the programs are part of a distribution.
dist_man_MANS += deploy/quickstart.1

EXTRA_DIST += deploy/README.md deploy/quickstart deploy/guest deploy/lib deploy/packages
