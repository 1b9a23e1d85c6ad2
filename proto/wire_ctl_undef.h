/* SPDX-License-Identifier: Apache-2.0 */
/* Ends a use of wire_ctl.def; has no guard because it is included once per use. */
#undef MSG
#undef END
#undef NAME
#undef STR
#undef TEXT
#undef FIXED
#undef BLOB
#undef U32
#undef U64
#undef S64
#undef FLAG
#undef ENUM
#undef SUB
#undef LIST
