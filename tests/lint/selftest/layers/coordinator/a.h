#include "proto/ctl_conn.h"
  #  include "node-agent/slice.h"
