/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queues (5.3.2): 0 and 1 receive and transmit of port 0, 2 and 3 control, then two for each
 * further port. What the device has to say on the control queue is a set of facts per port and not
 * a queue of messages, so a guest that never listens costs nothing.
 */
#include "vio/console.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"

#define CONSOLE_MAGIC 0x76636f6eu

#define CONSOLE_F_MULTIPORT (UINT64_C(1) << 1)

#define CONSOLE_QUEUE_SIZE    64u
#define CONSOLE_CONTROL_BYTES 8u
#define CONSOLE_PIECE_BYTES   4096u

enum { CONSOLE_QUEUE_CONTROL_RX = 2, CONSOLE_QUEUE_CONTROL_TX = 3 };

/* 5.3.6.2 */
enum console_event {
	CONSOLE_DEVICE_READY = 0,
	CONSOLE_DEVICE_ADD = 1,
	CONSOLE_PORT_READY = 3,
	CONSOLE_CONSOLE_PORT = 4,
	CONSOLE_PORT_OPEN = 6,
	CONSOLE_PORT_NAME = 7,
};

struct console;

struct console_port {
	struct console *con;
	unsigned id;
	char name[CONSOLE_NAME_MAX];
	struct stream *stream;
	/* [owner: worker; cleared by reset while it does not run] */
	uint32_t due; /* bit per console_event that the guest is still to be told */
	bool ready;   /* the guest knows the port */
	bool guest_open;
	bool told_open; /* the state of our end that it was last told */
	bool tx_busy;   /* `tx` is a request whose bytes from `tx_done` on were not taken yet */
	uint64_t tx_done;
	struct virtq_chain tx;
};

struct console {
	struct virtio_dev dev; /* first: the core finds it by this address */
	uint32_t magic;
	unsigned n_ports;
	struct virtq_chain chain; /* [owner: worker] */
	struct console_port ports[CONSOLE_PORTS_MAX];
};

static struct console *console_of(struct virtio_dev *dev)
{
	struct console *con = container_of(dev, struct console, dev);
	OBJ_CHECK(con, CONSOLE_MAGIC);
	return con;
}

static unsigned console_rx_queue(unsigned port)
{
	return port == 0 ? 0 : 2 + 2 * port;
}

static bool console_multiport(struct console *con)
{
	return virtio_dev_has(&con->dev, CONSOLE_F_MULTIPORT);
}

/* Runs on the thread of the stream's other end. */
static void console_stream_event(void *arg, unsigned events)
{
	struct console_port *port = arg;
	OBJ_CHECK(port->con, CONSOLE_MAGIC);
	virtio_dev_kick(&port->con->dev, 0);
}

/* ---- control, from the guest ---- */

static void console_set_guest_open(struct console_port *port, bool open)
{
	port->guest_open = open;
	stream_dev_open(port->stream, open);
}

static void console_control(struct console *con, uint32_t id, uint16_t event, uint16_t value)
{
	if (event == CONSOLE_DEVICE_READY) {
		for (unsigned i = 0; value == 1 && i < con->n_ports; i++)
			con->ports[i].due |= 1u << CONSOLE_DEVICE_ADD;
		return;
	}
	if (id >= con->n_ports)
		return;
	struct console_port *port = &con->ports[id];
	if (event == CONSOLE_PORT_READY && value == 1) {
		port->ready = true;
		port->told_open = false;
		port->due |= 1u << (id == 0 ? CONSOLE_CONSOLE_PORT : CONSOLE_PORT_NAME);
	} else if (event == CONSOLE_PORT_OPEN) {
		console_set_guest_open(port, value == 1);
	}
}

static int console_run_control_tx(struct console *con)
{
	struct virtq *vq = virtio_dev_queue(&con->dev, CONSOLE_QUEUE_CONTROL_TX);
	int err = 0;
	while (vq != NULL && !virtio_dev_yield(&con->dev)) {
		err = virtq_pop(vq, &con->chain);
		if (err != 0)
			break;
		uint8_t raw[CONSOLE_CONTROL_BYTES];
		if (con->chain.out_bytes < sizeof(raw))
			return ERR_FORMAT;
		err = virtq_chain_read(vq, &con->chain, 0, raw, sizeof(raw));
		if (err != 0)
			break;
		struct rcur c = rcur_of(raw, sizeof(raw));
		uint32_t id = rcur_u32(&c);
		uint16_t event = rcur_u16(&c), value = rcur_u16(&c);
		console_control(con, id, event, value);
		err = virtq_push(vq, &con->chain, 0);
		if (err == 0)
			err = virtio_dev_notify(&con->dev, CONSOLE_QUEUE_CONTROL_TX);
		if (err != 0)
			break;
	}
	return err == ERR_AGAIN ? 0 : err;
}

/* ---- control, to the guest ---- */

/* Our end as the guest is to see it: it stays open until the guest has got all that was written. */
static bool console_shown_open(const struct console_port *port)
{
	return stream_dev_heard(port->stream) ||
	       (port->told_open && stream_dev_readable(port->stream) != 0);
}

/* The next thing that the guest has to be told about a port; false: nothing. */
static bool console_next_event(struct console_port *port, uint16_t *event, uint16_t *value)
{
	*value = 1;
	for (unsigned e = CONSOLE_DEVICE_ADD; e <= CONSOLE_PORT_NAME; e++) {
		if ((port->due >> e & 1) == 0)
			continue;
		*event = (uint16_t)e;
		return true;
	}
	bool open = console_shown_open(port);
	if (!port->ready || open == port->told_open)
		return false;
	*event = CONSOLE_PORT_OPEN;
	*value = open;
	return true;
}

static int console_send_event(struct console *con, struct virtq *vq, struct console_port *port,
	uint16_t event, uint16_t value)
{
	uint8_t raw[CONSOLE_CONTROL_BYTES + CONSOLE_NAME_MAX];
	int err = virtq_pop(vq, &con->chain);
	if (err != 0)
		return err;
	struct wcur c = wcur_of(raw, sizeof(raw));
	wcur_u32(&c, port->id);
	wcur_u16(&c, event);
	wcur_u16(&c, value);
	if (event == CONSOLE_PORT_NAME)
		wcur_bytes(&c, port->name, strlen(port->name));
	CHECK(!c.bad);
	if (con->chain.in_bytes < c.used)
		return ERR_FORMAT;
	err = virtq_chain_write(vq, &con->chain, 0, raw, c.used);
	if (err == 0)
		err = virtq_push(vq, &con->chain, (uint32_t)c.used);
	if (err == 0)
		err = virtio_dev_notify(&con->dev, CONSOLE_QUEUE_CONTROL_RX);
	if (err != 0)
		return err;
	if (event == CONSOLE_PORT_OPEN)
		port->told_open = value != 0;
	else
		port->due &= ~(1u << event);
	return 0;
}

static int console_run_control_rx(struct console *con)
{
	struct virtq *vq = virtio_dev_queue(&con->dev, CONSOLE_QUEUE_CONTROL_RX);
	if (vq == NULL)
		return 0;
	for (unsigned i = 0; i < con->n_ports; i++) {
		uint16_t event, value;
		while (!virtio_dev_yield(&con->dev) &&
			console_next_event(&con->ports[i], &event, &value)) {
			int err = console_send_event(con, vq, &con->ports[i], event, value);
			if (err != 0)
				return err == ERR_AGAIN ? 0 : err;
		}
	}
	return 0;
}

/* ---- data ---- */

/* May bytes go to the guest? Without ports to open (no MULTIPORT) always. */
static bool console_listening(struct console *con, const struct console_port *port)
{
	return !console_multiport(con) || port->guest_open;
}

static int console_run_rx(struct console *con, struct console_port *port)
{
	unsigned q = console_rx_queue(port->id);
	struct virtq *vq = virtio_dev_queue(&con->dev, q);
	if (vq == NULL || !console_listening(con, port))
		return 0;
	while (!virtio_dev_yield(&con->dev) && stream_dev_readable(port->stream) != 0) {
		uint8_t bytes[CONSOLE_PIECE_BYTES];
		int err = virtq_pop(vq, &con->chain);
		if (err != 0)
			return err == ERR_AGAIN ? 0 : err;
		if (con->chain.in_bytes == 0)
			return ERR_FORMAT;
		size_t n = (size_t)MIN(con->chain.in_bytes, (uint64_t)sizeof(bytes));
		n = stream_dev_get(port->stream, bytes, n);
		err = virtq_chain_write(vq, &con->chain, 0, bytes, n);
		if (err == 0)
			err = virtq_push(vq, &con->chain, (uint32_t)n);
		if (err == 0)
			err = virtio_dev_notify(&con->dev, q);
		if (err != 0)
			return err;
	}
	return 0;
}

/* Give the stream what it takes of the request in `port->tx`; *all: nothing is left. */
static int console_put(struct console_port *port, struct virtq *vq, bool *all)
{
	uint8_t bytes[CONSOLE_PIECE_BYTES];
	while (port->tx_done < port->tx.out_bytes) {
		size_t n = (size_t)MIN(port->tx.out_bytes - port->tx_done, (uint64_t)sizeof(bytes));
		n = MIN(n, stream_dev_writable(port->stream));
		if (n == 0 || virtio_dev_yield(&port->con->dev))
			break;
		int err = virtq_chain_read(vq, &port->tx, port->tx_done, bytes, n);
		if (err != 0)
			return err;
		size_t taken = stream_dev_put(port->stream, bytes, n);
		port->tx_done += taken;
		if (taken < n) /* its policy changed in between: somebody listens now */
			break;
	}
	*all = port->tx_done == port->tx.out_bytes;
	return 0;
}

static int console_run_tx(struct console *con, struct console_port *port)
{
	unsigned q = console_rx_queue(port->id) + 1;
	struct virtq *vq = virtio_dev_queue(&con->dev, q);
	while (vq != NULL && !virtio_dev_yield(&con->dev)) {
		bool all;
		int err = 0;
		if (!port->tx_busy) {
			err = virtq_pop(vq, &port->tx);
			if (err != 0)
				return err == ERR_AGAIN ? 0 : err;
			port->tx_busy = true;
			port->tx_done = 0;
		}
		err = console_put(port, vq, &all);
		if (err != 0 || !all)
			return err;
		port->tx_busy = false;
		err = virtq_push(vq, &port->tx, 0);
		if (err == 0)
			err = virtio_dev_notify(&con->dev, q);
		if (err != 0)
			return err;
	}
	return 0;
}

static uint64_t console_run(struct virtio_dev *dev, unsigned w)
{
	struct console *con = console_of(dev);
	int err = 0;
	if (console_multiport(con))
		err = console_run_control_tx(con);
	for (unsigned i = 0; err == 0 && i < con->n_ports; i++) {
		struct console_port *port = &con->ports[i];
		if (i != 0 && !console_multiport(con))
			break;
		err = console_run_tx(con, port);
		if (err == 0)
			err = console_run_rx(con, port);
	}
	/* Last: the end of a stream is announced after its bytes. */
	if (err == 0 && console_multiport(con))
		err = console_run_control_rx(con);
	if (err != 0)
		virtio_dev_failed(dev, err, "request");
	return VIRTIO_RUN_WHEN_NOTIFIED;
}

static void console_reset(struct virtio_dev *dev)
{
	struct console *con = console_of(dev);
	for (unsigned i = 0; i < con->n_ports; i++) {
		struct console_port *port = &con->ports[i];
		port->due = 0;
		port->ready = port->guest_open = port->told_open = port->tx_busy = false;
		stream_dev_reset(port->stream);
	}
}

static void console_destroy(struct virtio_dev *dev)
{
	struct console *con = console_of(dev);
	for (unsigned i = 0; i < con->n_ports; i++)
		stream_dev_bind(con->ports[i].stream, NULL, NULL);
	virtio_dev_fini(dev);
	OBJ_FINI(con, CONSOLE_MAGIC);
	free(con);
}

static const struct virtio_dev_ops console_ops = {
	"console", console_run, NULL, console_reset, console_destroy};

static int console_init_ports(struct console *con, const struct console_cfg *cfg)
{
	con->n_ports = cfg->n_ports;
	for (unsigned i = 0; i < cfg->n_ports; i++) {
		struct console_port *port = &con->ports[i];
		const char *name = cfg->ports[i].name != NULL ? cfg->ports[i].name : "";
		if (strlen(name) >= sizeof(port->name))
			return ERR_INVAL;
		memcpy(port->name, name, strlen(name) + 1);
		port->con = con;
		port->id = i;
		port->stream = cfg->ports[i].stream;
	}
	return 0;
}

int console_create(
	const struct dsm_gate *gate, const struct console_cfg *cfg, struct virtio_dev **out)
{
	if (cfg->n_ports < 1 || cfg->n_ports > CONSOLE_PORTS_MAX)
		return ERR_RANGE;
	struct console *con = calloc(1, sizeof(*con));
	if (con == NULL)
		return ERR_NO_MEMORY;
	uint8_t config[8]; /* 5.3.4: cols, rows (not offered), max_nr_ports */
	struct wcur c = wcur_of(config, sizeof(config));
	wcur_u32(&c, 0);
	wcur_u32(&c, cfg->n_ports);
	const struct virtio_dev_cfg dev = {
		.ops = &console_ops,
		.gate = gate,
		.id = VIRTIO_ID_CONSOLE,
		.features = CONSOLE_F_MULTIPORT,
		.config = config,
		.config_bytes = sizeof(config),
		.n_queues = 2 + 2 * cfg->n_ports,
		.n_workers = 1,
		.queue_size = CONSOLE_QUEUE_SIZE,
	};
	int err = console_init_ports(con, cfg);
	if (err == 0)
		err = virtio_dev_init(&con->dev, &dev);
	if (err != 0) {
		free(con);
		return err;
	}
	OBJ_INIT(con, CONSOLE_MAGIC);
	for (unsigned i = 0; i < con->n_ports; i++)
		stream_dev_bind(con->ports[i].stream, console_stream_event, &con->ports[i]);
	*out = &con->dev;
	return 0;
}
