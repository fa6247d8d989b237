/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The protocol's records as JSON objects: the members' own names for keys, numbers as numbers, enumerations as
 * words, flags as true and false, and null for what is absent: also for members that an older daemon's records
 * do not have.
 */
#ifndef CTL_RECORDS_H
#define CTL_RECORDS_H

#include <jansson.h>

#include "ctl/connection.h"

/* All records of a kind (not CONFIG, which is text), as an array that the caller ends with json_decref(). */
int fetch_records(struct connection *connection, enum xdpd_list kind, json_t **ret,
		  struct failure *why);

/* Those that answer another request than LIST. `length` is the whole request's. */
int request_records(struct connection *connection, enum xdpd_message type,
		    struct xdpd_header *request, size_t length, enum xdpd_list kind, json_t **ret,
		    struct failure *why);

/* The one record about the daemon. */
int fetch_daemon(struct connection *connection, json_t **ret, struct failure *why);

json_t *event_object(const struct xdpd_event *event);

/* Text from a fixed array, terminated or not; null if empty. What is not UTF-8 becomes `?`. */
json_t *text_value(const char *text, size_t max);

static inline void cleanup_json_object(json_t **json)
{
	json_decref(*json);
}

#define cleanup_json __attribute__((cleanup(cleanup_json_object)))

#endif
