#include "dsm/core_int.h"
