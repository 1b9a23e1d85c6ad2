#include "config.h"
#include "dsm/dsm.h"
#include "vcpu/vcpu.h"
