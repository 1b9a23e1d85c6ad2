#include <stdint.h>
uint32_t good(void);
#ifdef HAVE_CONFIG_H
#error config.h
#endif
