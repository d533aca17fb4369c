/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reading a configured object.
 *
 * An object is a JSON object that was checked against its type: every settable field that has a
 * default, is required or generated is there, in its type's JSON form. So these readers cannot
 * fail; a field that is not there, or is of another type, is a defect of ours and asserts. A field
 * without any default may be absent: ask obj_has() first.
 *
 * Objects are immutable once they are in a configuration; who keeps one takes a reference
 * (json_incref). jansson's counts are atomic, but treat objects as the control thread's.
 */
#ifndef MODEL_OBJECT_H
#define MODEL_OBJECT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define N_VLANS 4096

/* Bit v of word v / 64. Bits 0 and 4095 are never set. */
struct vlan_set {
	uint64_t word[N_VLANS / 64];
};

static inline bool vlan_set_has(const struct vlan_set *set, uint16_t vlan)
{
	return set->word[vlan / 64 % (N_VLANS / 64)] >> vlan % 64 & 1;
}

bool obj_has(const json_t *obj, const char *field);
const char *obj_name(const json_t *obj);
const char *obj_str(const json_t *obj, const char *field); /* name, string, path, ref, enum */
uint64_t obj_uint(const json_t *obj, const char *field);   /* uint, vlan, rate, duration */
bool obj_bool(const json_t *obj, const char *field);
void obj_mac(const json_t *obj, const char *field, uint8_t mac[6]);
void obj_vlans(const json_t *obj, const char *field, struct vlan_set *vlans);

/* Whether an enum or string field holds this word. */
bool obj_is(const json_t *obj, const char *field, const char *word);

/* Whether the field's value differs; either object may be NULL, which has no fields. */
bool obj_changed(const json_t *old_obj, const json_t *new_obj, const char *field);

#endif
