#include <stdio.h>
#include "base/err.h"
#include "proto/ids.h"
#include "err.h"
