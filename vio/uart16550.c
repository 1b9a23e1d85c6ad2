/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Register map (TI TL16C550C data sheet, table 3; DLAB is bit 7 of LCR):
 *	0 RBR r, THR w, DLL when DLAB	1 IER, DLM when DLAB	2 IIR r, FCR w	3 LCR
 *	4 MCR	5 LSR r	6 MSR r	7 SCR
 *
 * Bytes go out at once, so the transmitter is empty unless the stream has no room: then one byte
 * waits in the holding register, which is how a slow listener slows the guest down.
 */
#include "vio/uart16550.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/lk.h"

#define UART_MAGIC 0x75617274u

#define UART_FIFO_BYTES 16u

enum {
	UART_IER_RDA = 0x01, /* received data available */
	UART_IER_THRE = 0x02,
	UART_IER_RLS = 0x04, /* receiver line status */
	UART_IER_MASK = 0x0f,

	UART_IIR_NONE = 0x01,
	UART_IIR_THRE = 0x02,
	UART_IIR_RDA = 0x04,
	UART_IIR_RLS = 0x06,
	UART_IIR_TIMEOUT = 0x0c, /* bytes below the trigger level wait */
	UART_IIR_FIFO = 0xc0,

	UART_FCR_ENABLE = 0x01,
	UART_FCR_CLEAR_RX = 0x02,

	UART_LCR_DLAB = 0x80,

	UART_MCR_DTR = 0x01,
	UART_MCR_RTS = 0x02,
	UART_MCR_OUT1 = 0x04,
	UART_MCR_OUT2 = 0x08,
	UART_MCR_LOOP = 0x10,
	UART_MCR_MASK = 0x1f,

	UART_LSR_DR = 0x01,
	UART_LSR_OE = 0x02,
	UART_LSR_THRE = 0x20,
	UART_LSR_TEMT = 0x40,

	UART_MSR_CTS = 0x10,
	UART_MSR_DSR = 0x20,
	UART_MSR_RI = 0x40,
	UART_MSR_DCD = 0x80,
};

struct uart16550 {
	uint32_t magic;
	struct lk lk; /* all below */
	struct vio_line line;
	struct stream *stream;
	uint8_t ier, lcr, mcr, scr, dll, dlm, fcr;
	bool overrun;
	bool thre_pending; /* the transmitter became empty and nobody has read IIR since */
	bool thr_full;
	uint8_t thr;
	uint8_t fifo[UART_FIFO_BYTES];
	unsigned fifo_first, fifo_used;
};

static unsigned uart_trigger_level(const struct uart16550 *u)
{
	static const unsigned levels[] = {1, 4, 8, 14};
	return (u->fcr & UART_FCR_ENABLE) != 0 ? levels[u->fcr >> 6] : 1;
}

static uint8_t uart_iir_locked(const struct uart16550 *u)
{
	if ((u->ier & UART_IER_RLS) != 0 && u->overrun)
		return UART_IIR_RLS;
	if ((u->ier & UART_IER_RDA) != 0 && u->fifo_used != 0)
		return u->fifo_used >= uart_trigger_level(u) ? UART_IIR_RDA : UART_IIR_TIMEOUT;
	if ((u->ier & UART_IER_THRE) != 0 && u->thre_pending)
		return UART_IIR_THRE;
	return UART_IIR_NONE;
}

static void uart_fifo_put_locked(struct uart16550 *u, uint8_t byte)
{
	unsigned size = (u->fcr & UART_FCR_ENABLE) != 0 ? UART_FIFO_BYTES : 1;
	if (u->fifo_used >= size) {
		u->overrun = true;
		return;
	}
	u->fifo[(u->fifo_first + u->fifo_used) % UART_FIFO_BYTES] = byte;
	u->fifo_used++;
}

/* Fetch what fits from the host; the rest waits in the stream, so nothing is overrun. */
static void uart_fill_locked(struct uart16550 *u)
{
	if ((u->mcr & UART_MCR_LOOP) != 0)
		return;
	unsigned size = (u->fcr & UART_FCR_ENABLE) != 0 ? UART_FIFO_BYTES : 1;
	while (u->fifo_used < size) {
		uint8_t byte;
		if (stream_dev_get(u->stream, &byte, 1) == 0)
			break;
		uart_fifo_put_locked(u, byte);
	}
}

static void uart_drain_locked(struct uart16550 *u)
{
	if (u->thr_full && stream_dev_put(u->stream, &u->thr, 1) == 1) {
		u->thr_full = false;
		u->thre_pending = true;
	}
}

static void uart_update_locked(struct uart16550 *u)
{
	uart_fill_locked(u);
	vio_line_set(&u->line, uart_iir_locked(u) != UART_IIR_NONE);
}

static void uart_stream_event(void *arg, unsigned events)
{
	struct uart16550 *u = arg;
	OBJ_CHECK(u, UART_MAGIC);
	lk_lock(&u->lk);
	uart_drain_locked(u);
	uart_update_locked(u);
	lk_unlock(&u->lk);
}

static void uart_init_registers_locked(struct uart16550 *u)
{
	u->ier = u->lcr = u->mcr = u->scr = u->dll = u->dlm = u->fcr = 0;
	u->overrun = u->thre_pending = u->thr_full = false;
	u->fifo_first = u->fifo_used = 0;
}

static void uart_transmit_locked(struct uart16550 *u, uint8_t byte)
{
	u->thre_pending = false;
	if ((u->mcr & UART_MCR_LOOP) != 0) {
		uart_fifo_put_locked(u, byte);
		u->thre_pending = true;
		return;
	}
	/* Written although full: the older byte is lost, as in the chip. */
	u->thr = byte;
	u->thr_full = true;
	uart_drain_locked(u);
}

static uint8_t uart_receive_locked(struct uart16550 *u)
{
	if (u->fifo_used == 0)
		return 0;
	uint8_t byte = u->fifo[u->fifo_first];
	u->fifo_first = (u->fifo_first + 1) % UART_FIFO_BYTES;
	u->fifo_used--;
	return byte;
}

static uint8_t uart_lsr_locked(struct uart16550 *u)
{
	uint8_t v = u->fifo_used != 0 ? UART_LSR_DR : 0;
	if (u->overrun)
		v |= UART_LSR_OE;
	if (!u->thr_full)
		v |= UART_LSR_THRE | UART_LSR_TEMT;
	u->overrun = false;
	return v;
}

/* In loop mode the outputs of MCR come back as the inputs of MSR. */
static uint8_t uart_msr_locked(const struct uart16550 *u)
{
	if ((u->mcr & UART_MCR_LOOP) == 0)
		return UART_MSR_CTS | UART_MSR_DSR | UART_MSR_DCD;
	return ((u->mcr & UART_MCR_DTR) != 0 ? UART_MSR_DSR : 0) |
	       ((u->mcr & UART_MCR_RTS) != 0 ? UART_MSR_CTS : 0) |
	       ((u->mcr & UART_MCR_OUT1) != 0 ? UART_MSR_RI : 0) |
	       ((u->mcr & UART_MCR_OUT2) != 0 ? UART_MSR_DCD : 0);
}

static uint8_t uart_read_locked(struct uart16550 *u, unsigned reg)
{
	bool dlab = (u->lcr & UART_LCR_DLAB) != 0;
	uint8_t iir;
	switch (reg) {
	case 0:
		return dlab ? u->dll : uart_receive_locked(u);
	case 1:
		return dlab ? u->dlm : u->ier;
	case 2:
		iir = uart_iir_locked(u);
		if (iir == UART_IIR_THRE)
			u->thre_pending = false;
		return iir | ((u->fcr & UART_FCR_ENABLE) != 0 ? UART_IIR_FIFO : 0);
	case 3:
		return u->lcr;
	case 4:
		return u->mcr;
	case 5:
		return uart_lsr_locked(u);
	case 6:
		return uart_msr_locked(u);
	default:
		return u->scr;
	}
}

static void uart_set_ier_locked(struct uart16550 *u, uint8_t value)
{
	/* Enabling the interrupt of an empty transmitter raises it at once: drivers start by it. */
	if ((value & ~u->ier & UART_IER_THRE) != 0 && !u->thr_full)
		u->thre_pending = true;
	u->ier = value & UART_IER_MASK;
}

static void uart_set_fcr_locked(struct uart16550 *u, uint8_t value)
{
	bool toggled = ((value ^ u->fcr) & UART_FCR_ENABLE) != 0;
	if (toggled || (value & UART_FCR_CLEAR_RX) != 0)
		u->fifo_used = 0;
	/* The other bits hold only while bit 0 is set. */
	u->fcr = (value & UART_FCR_ENABLE) != 0 ? value & 0xc9 : 0;
}

static void uart_write_locked(struct uart16550 *u, unsigned reg, uint8_t value)
{
	bool dlab = (u->lcr & UART_LCR_DLAB) != 0;
	switch (reg) {
	case 0:
		if (dlab)
			u->dll = value;
		else
			uart_transmit_locked(u, value);
		break;
	case 1:
		if (dlab)
			u->dlm = value;
		else
			uart_set_ier_locked(u, value);
		break;
	case 2:
		uart_set_fcr_locked(u, value);
		break;
	case 3:
		u->lcr = value;
		break;
	case 4:
		u->mcr = value & UART_MCR_MASK;
		break;
	case 7:
		u->scr = value;
		break;
	default: /* LSR and MSR are read-only */
		break;
	}
}

static uint64_t uart_read(void *dev, uint64_t off, unsigned size)
{
	struct uart16550 *u = dev;
	OBJ_CHECK(u, UART_MAGIC);
	if (size != 1 || off >= UART16550_BYTES)
		return vio_ones(size);
	lk_lock(&u->lk);
	uint8_t value = uart_read_locked(u, (unsigned)off);
	uart_update_locked(u);
	lk_unlock(&u->lk);
	return value;
}

static void uart_write(void *dev, uint64_t off, unsigned size, uint64_t value)
{
	struct uart16550 *u = dev;
	OBJ_CHECK(u, UART_MAGIC);
	if (size != 1 || off >= UART16550_BYTES)
		return;
	lk_lock(&u->lk);
	uart_write_locked(u, (unsigned)off, (uint8_t)value);
	uart_update_locked(u);
	lk_unlock(&u->lk);
}

const struct vio_range_ops uart16550_range_ops = {"uart", uart_read, uart_write};

int uart16550_create(const struct vio_line *line, struct stream *stream, struct uart16550 **out)
{
	struct uart16550 *u = calloc(1, sizeof(*u));
	if (u == NULL)
		return ERR_NO_MEMORY;
	lk_init(&u->lk, LK_dev);
	u->line = *line;
	u->stream = stream;
	OBJ_INIT(u, UART_MAGIC);
	stream_dev_bind(stream, uart_stream_event, u);
	stream_dev_open(stream, true);
	*out = u;
	return 0;
}

void uart16550_destroy(struct uart16550 *u)
{
	if (u == NULL)
		return;
	stream_dev_bind(u->stream, NULL, NULL);
	OBJ_FINI(u, UART_MAGIC);
	lk_fini(&u->lk);
	free(u);
}

void uart16550_reset(struct uart16550 *u)
{
	OBJ_CHECK(u, UART_MAGIC);
	lk_lock(&u->lk);
	uart_init_registers_locked(u);
	uart_update_locked(u);
	lk_unlock(&u->lk);
}
