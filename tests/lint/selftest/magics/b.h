#define D_MAGIC 0x41414141
#define OTHER 0x42424242
void f(void)
{
	OBJ_INIT(x, 0x1234);
	OBJ_CHECK(x, A_MAGIC);
}
