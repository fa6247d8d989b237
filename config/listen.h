/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef CONFIG_LISTEN_H
#define CONFIG_LISTEN_H

#include "config/config.h"

/* Parses `127.0.0.1:9820`, `[::1]:9820`, `unix:/path` or `off`. Returns 0 and sets `*ret`, or -EINVAL. */
int listen_parse(const char *text, struct config_metrics *ret);

#endif
