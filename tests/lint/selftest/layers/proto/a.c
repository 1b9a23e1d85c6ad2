#include "base/err.h"
#include "proto/ids.h"
#include "dsm/dsm.h"
