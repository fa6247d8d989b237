/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef CTL_DIFFERENCE_H
#define CTL_DIFFERENCE_H

#include "config/config.h"

/*
 * Where two configs want something else, whatever their text: `eth0`, `eth0 queue 3`, to be freed; NULL if they
 * want the same.
 */
char *config_difference(const struct config *a, const struct config *b);

#endif
