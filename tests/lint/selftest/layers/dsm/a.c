#include "base/err.h"
#include "proto/wire_page.h"
#include "dsm/core_int.h"
#include "vcpu/vcpu.h"
