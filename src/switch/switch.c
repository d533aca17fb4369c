/* SPDX-License-Identifier: BSD-3-Clause */
/* Control's half: snapshots. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "switch/switch.h"

#define FDB_SIZE 65536 /* learned addresses of a switch */

int switch_init(struct vswitch *sw, uint32_t fdb_limit)
{
	int ret;

	sw->learned = fdb_new(FDB_SIZE, fdb_limit);
	atomic_init(&sw->snapshot, NULL);
	if (sw->learned == NULL)
		return -ENOMEM;
	switch_publish(sw, NULL, 0, &ret);
	if (ret < 0)
		switch_fini(sw);
	return ret;
}

void switch_fini(struct vswitch *sw)
{
	switch_snapshot_free(atomic_load(&sw->snapshot));
	fdb_free(sw->learned);
	sw->learned = NULL;
}

/* Where private VLANs are, or NULL where there are none. -ENOMEM with *vids NULL. */
static int shared_learning(const struct port_config *port, unsigned int n, uint16_t **vids)
{
	*vids = NULL;
	for (unsigned int i = 0; i < n; i++) {
		if (!port[i].used || !port[i].private_vlan)
			continue;
		if (*vids == NULL) {
			*vids = calloc(4096, sizeof(**vids));
			if (*vids == NULL)
				return -ENOMEM;
			for (unsigned int v = 0; v < 4096; v++)
				(*vids)[v] = (uint16_t)v;
		}
		(*vids)[port[i].send_vid] = port[i].pvid;
		for (unsigned int v = 0; v < 4096; v++)
			if (bitmap_test(port[i].vlans, v))
				(*vids)[v] = port[i].pvid;
	}
	return 0;
}

struct switch_snapshot *switch_publish(struct vswitch *sw, const struct port_config *port,
				       unsigned int n, int *ret)
{
	struct switch_snapshot *s = calloc(1, sizeof(*s) + n * sizeof(s->port[0]));
	unsigned int n_macs = 0;

	*ret = -ENOMEM;
	if (s == NULL)
		return NULL;
	assert(n <= SWITCH_PORTS_MAX);
	for (unsigned int i = 0; i < n; i++)
		n_macs += port[i].used ? port[i].n_macs : 0;
	s->macs = fdb_static_new(n_macs);
	if (s->macs == NULL || shared_learning(port, n, &s->learned_vid) < 0) {
		switch_snapshot_free(s);
		return NULL;
	}
	s->learned = sw->learned;
	s->n_ports = n;
	if (n > 0)
		memcpy(s->port, port, n * sizeof(*port));
	for (unsigned int i = 0; i < n; i++) {
		if (!port[i].private_vlan)
			s->port[i].send_vid = port[i].pvid;
		s->port[i].learns |= port[i].uplink;
	}
	/* Each port's own address first, so that an address which a guest adds never takes
	 * another's away. */
	for (unsigned int nth = 0; nth < PORT_MACS_MAX; nth++)
		for (unsigned int i = 0; i < n; i++)
			if (port[i].used && nth < port[i].n_macs)
				fdb_static_add(s->macs, port[i].mac[nth], (uint16_t)i);
	*ret = 0;
	return atomic_exchange(&sw->snapshot, s);
}

void switch_snapshot_free(struct switch_snapshot *snapshot)
{
	if (snapshot == NULL)
		return;
	free(snapshot->macs);
	free(snapshot->learned_vid);
	free(snapshot);
}
