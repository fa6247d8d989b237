/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cells that more than one member of a record makes, or that say it better than the member alone. All of them return
 * text to be freed; NULL from those that say so: then a block has no such line.
 */
#ifndef CTL_CELLS_H
#define CTL_CELLS_H

#include <jansson.h>

char *moment(json_int_t seconds);
char *span(json_int_t seconds);

/* What there is, and what was wanted where that is something else. */
char *mode_text(const json_t *record);
char *bind_text(const json_t *queue);

/* interfaces */
char *link_text(const json_t *interface);
char *ready_text(const json_t *interface);

/* queues */
char *source_text(const json_t *queue);
char *memory_text(const json_t *queue);
char *rx_text(const json_t *queue);
char *tx_text(const json_t *queue);
char *fill_text(const json_t *queue);
char *completion_text(const json_t *queue);
char *passed_text(const json_t *queue);
/* the one there is, or how many */
char *consumers_text(const json_t *queue);

/* what has packets and bytes */
char *received_text(const json_t *queue);
char *transmitted_text(const json_t *queue);

/* what has a reason; NULL if there is none */
char *reason_text(const json_t *record);
char *note_text(const json_t *interface);

/* consumers */
char *attached_text(const json_t *consumer);
char *held_text(const json_t *consumer);
/* of one that holds, else NULL */
char *held_of_text(const json_t *consumer);
/* by cause, also of a group; NULL of an exclusive consumer */
char *loss_text(const json_t *record);

/* groups */
char *group_source_text(const json_t *group);
char *group_held_text(const json_t *group);

/* rules */
char *rule_text(const json_t *rule);
char *action_text(const json_t *rule);
char *match_text(const json_t *rule);

/* workers */
char *cpu_text(const json_t *worker);
char *busy_text(const json_t *worker);
char *per_burst_text(const json_t *worker);
char *kernel_text(const json_t *worker);
char *transmit_text(const json_t *worker);
char *free_text(const json_t *worker);
char *lent_text(const json_t *worker);

#endif
