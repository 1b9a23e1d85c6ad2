uint32_t bad(void);
