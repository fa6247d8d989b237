/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef CONFIG_SUGGEST_H
#define CONFIG_SUGGEST_H

#include <stddef.h>

/* The one of `words` that somebody who wrote `wrong` most likely meant; NULL if none is near. */
const char *suggest_word(const char *wrong, const char *const *words, size_t n);

#endif
