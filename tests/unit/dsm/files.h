/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_DSM_FILES_H
#define TESTS_UNIT_DSM_FILES_H

#include <stdint.h>

/* Files for guest memory that misbehave. */

/* A file of memory that can hold `kib` KiB; -1: making one needs root. */
int files_small(unsigned kib);

/* A file on a disk, which userfaultfd can not guard; -1: no disk was found. */
int files_on_disk(void);

/* Pages that the file has. */
uint64_t files_pages(int fd);

#endif
