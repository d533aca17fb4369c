/* SPDX-License-Identifier: BSD-3-Clause */
/* Policies of classification and classes of traffic, as objects and as text. */
#ifndef MODEL_QOS_H
#define MODEL_QOS_H

#include "model/match.h"
#include "model/refusal.h"

#include <jansson.h>

#define QOS_NONE (-1)
#define N_EIGHT  8 /* priorities, and classes of traffic: 802.1Q, 6.9.3 and 8.6.6 */

/* A number up to `max`, or the word that stands for none (QOS_NONE). */
bool mark_parse(const char *text, const char *word, unsigned int max, int *mark);

/* Values for 0 to 7 as dcb(8) writes them: "all:0", "0:1,3:2". Numbers up to `max`, or places in `words` where these
 * are not NULL. What is not named has 0. */
bool eight_parse(const char *text, const char *const *words, unsigned int max,
		 uint8_t value[N_EIGHT]);
/* The shortest such text: malloc'd. */
char *eight_format(const uint8_t value[N_EIGHT], const char *const *words);

struct qos_words {
	struct prefix source, dest;
	unsigned int protocol; /* PROTOCOL_ANY: any */
	struct ports sport, dport, port;
	int dscp, priority, set_dscp, set_priority; /* QOS_NONE */
	bool rest;                                  /* filter others */
};

/* Of a policy that was checked. */
void qos_policy_read(const json_t *obj, struct qos_words *words);

/* Of an uplink that was checked. */
struct uplink_classes {
	uint8_t of_priority[N_EIGHT];
	bool ets[N_EIGHT];
	uint8_t percent[N_EIGHT];
	uint8_t pfc; /* mask of priorities */
};
void uplink_classes_read(const json_t *obj, struct uplink_classes *classes);
/* Priorities differ in their classes. */
bool uplink_has_classes(const json_t *obj);

/* schema.h: struct object_type */
int qos_policy_check(const json_t *obj, struct refusal *why);
char *qos_policy_rival(const json_t *obj);
int uplink_classes_check(const json_t *obj, struct refusal *why);

#endif
