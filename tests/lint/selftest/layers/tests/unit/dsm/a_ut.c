#include "dsm/core_int.h"
#include "tests/lib/ut.h"
#include "beside.h"
