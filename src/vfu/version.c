/* SPDX-License-Identifier: BSD-3-Clause */
/* Capabilities: JSON in both directions ("VFIO_USER_VERSION"). */
#include <errno.h>
#include <jansson.h>

#include "vfu/internal.h"

/* QEMU 11.1 reads the reply into the 214 bytes of its request: this stays well below. */
const char vfu_caps_ours[] = "{\"capabilities\":{\"max_msg_fds\":8,\"max_data_xfer_size\":65536,"
			     "\"pgsizes\":4096,\"write_multiple\":false}}";
const size_t vfu_caps_ours_size = sizeof(vfu_caps_ours);

static_assert(VFU_MAX_FDS == 8 && VFU_MAX_DATA == 65536, "what vfu_caps_ours says");
static_assert(sizeof(vfu_caps_ours) + sizeof(struct vfu_version) + sizeof(struct vfu_hdr) < 214,
	      "what QEMU reads");

/* An optional number of `object`, at most 32 bits kept. Returns 0 or -EINVAL. */
static int number(const json_t *object, const char *key, uint32_t *value)
{
	const json_t *v = json_object_get(object, key);
	json_int_t n;

	if (v == NULL)
		return 0;
	if (!json_is_integer(v))
		return -EINVAL;
	n = json_integer_value(v);
	if (n < 0)
		return -EINVAL;
	*value = n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
	return 0;
}

static int parse_object(const json_t *root, struct vfu_caps *caps)
{
	const json_t *list = json_object_get(root, "capabilities");

	if (!json_is_object(root))
		return -EINVAL;
	if (list == NULL)
		return 0;
	if (!json_is_object(list))
		return -EINVAL;
	if (number(list, "max_msg_fds", &caps->max_fds) < 0 ||
	    number(list, "max_data_xfer_size", &caps->max_data) < 0)
		return -EINVAL;
	return 0;
}

/* `json` has `size` bytes and ends with NUL. Unknown capabilities are the client's business. */
int vfu_caps_parse(const char *json, size_t size, struct vfu_caps *caps)
{
	json_t *root;
	int r;

	*caps = (struct vfu_caps){ .max_fds = 1, .max_data = 1 << 20 };
	if (size == 0)
		return 0;
	if (json[size - 1] != '\0')
		return -EINVAL;
	root = json_loadb(json, size - 1, 0, NULL);
	if (root == NULL)
		return -EINVAL;
	r = parse_object(root, caps);
	json_decref(root);
	return r;
}
