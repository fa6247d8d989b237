/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libyaml's syntax errors as sentences that say what was found and what was expected. It stops at the first.
 */
#include <string.h>

#include "config/yaml_tree.h"

/* What the parser was in, to be told with its place. */
enum opening {
	OPENING_NONE,
	OPENING_HERE, /* ", it begins at line L, column C" */
};

static const struct {
	const char *problem; /* as libyaml words it */
	const char *context; /* NULL: any */
	const char *sentence;
	enum opening opening;
} known[] = {
	{"found a tab character that violates indentation", NULL,
	 "a tab, expected spaces: YAML is not indented with tabs", OPENING_NONE},
	{"found a tab character where an indentation space is expected", NULL,
	 "a tab, expected spaces: YAML is not indented with tabs", OPENING_NONE},
	{"did not find expected alphabetic or numeric character", "while scanning an alias",
	 "`*` begins an alias, expected its name; for anyone write \"*\" in quotes", OPENING_NONE},
	{"found undefined alias", NULL,
	 "an alias of an anchor that is not there, expected one from further up", OPENING_NONE},
	{"second occurrence", "found duplicate anchor; first occurrence",
	 "an anchor that is there already, expected another name", OPENING_NONE},
	{"mapping values are not allowed in this context", NULL,
	 "a `:` that is not expected here; a value with a `: ` in it needs quotes, and keys of one "
	 "mapping begin "
	 "in the same column",
	 OPENING_NONE},
	{"block sequence entries are not allowed in this context", NULL,
	 "a `- ` that is not expected here; the items of a list begin on a line of their own",
	 OPENING_NONE},
	{"could not find expected ':'", NULL, "a key without its `:`, expected `key: value`",
	 OPENING_NONE},
	{"did not find expected key", "while parsing a block mapping",
	 "expected a key in the column of the mapping that this belongs to", OPENING_HERE},
	{"did not find expected '-' indicator", NULL,
	 "expected a `- ` in the column of the list's other items", OPENING_HERE},
	{"did not find expected ',' or '}'", NULL, "expected `,` or `}` of the mapping",
	 OPENING_HERE},
	{"did not find expected ',' or ']'", NULL, "expected `,` or `]` of the list", OPENING_HERE},
	{"found unexpected end of stream", "while scanning a quoted scalar",
	 "expected the closing quote", OPENING_HERE},
	{"did not find expected <document start>", NULL,
	 "more text after the end, expected one mapping in the file", OPENING_NONE},
};

static void report_known(const yaml_parser_t *parser, size_t i, struct report *report)
{
	struct place place = yaml_place(parser->problem_mark);
	struct place begin = yaml_place(parser->context_mark);

	if (known[i].opening == OPENING_HERE)
		report_add(report, place, "%s; it begins at line %zu, column %zu",
			   known[i].sentence, begin.line,
			   begin.column - (begin.line == 1 ? report->indent : 0));
	else
		report_add(report, place, "%s", known[i].sentence);
}

/* libyaml's reader knows only the byte's offset. */
static void report_bytes(const yaml_parser_t *parser, const char *text, size_t length,
			 struct report *report)
{
	size_t offset = parser->problem_offset < length ? parser->problem_offset : length;
	bool control = strcmp(parser->problem, "control characters are not allowed") == 0;
	struct place place = {1, 1};

	/* Of a character that its next bytes make wrong it tells the wrong byte, not the character. */
	while (!control && offset > 0 && offset < length && (text[offset] & 0x80) == 0 &&
	       text[offset - 1] & 0x80)
		offset--;
	for (size_t i = 0; i < offset; i++) {
		if (text[i] == '\n')
			place = (struct place){place.line + 1, 1};
		else if (((unsigned char)text[i] & 0xc0) != 0x80)
			place.column++;
	}
	if (control)
		report_add(report, place, "a control character (0x%02x), expected text",
			   (unsigned)parser->problem_value);
	else if (offset < length)
		report_add(report, place,
			   "a byte (0x%02x) that is not UTF-8, expected text in UTF-8",
			   (unsigned char)text[offset]);
	else
		report_add(report, place, "a character that is cut off, expected text in UTF-8");
}

/* The byte at a mark, which counts characters: found by its line and column. */
static char byte_at(const char *text, size_t length, size_t characters)
{
	for (size_t i = 0; i < length; i++) {
		if (((unsigned char)text[i] & 0xc0) == 0x80)
			continue;
		if (characters-- == 0)
			return text[i];
	}
	return '\0';
}

static void report_strange_character(const yaml_parser_t *parser, const char *text, size_t length,
				     struct report *report)
{
	struct place place = yaml_place(parser->problem_mark);
	char found = byte_at(text, length, parser->problem_mark.index);

	if (found == '\t')
		report_add(report, place, "a tab, expected spaces: YAML is not indented with tabs");
	else
		report_add(report, place, "`%c` can't begin a value, expected it in quotes", found);
}

void yaml_report_syntax(const yaml_parser_t *parser, const char *text, size_t length,
			struct report *report)
{
	const char *problem = parser->problem ? parser->problem : "not YAML";

	if (parser->error == YAML_MEMORY_ERROR) {
		report->out_of_memory = true;
		return;
	}
	if (parser->error == YAML_READER_ERROR) {
		report_bytes(parser, text, length, report);
		return;
	}
	if (strcmp(problem, "found character that cannot start any token") == 0) {
		report_strange_character(parser, text, length, report);
		return;
	}
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (strcmp(problem, known[i].problem) == 0 &&
		    (!known[i].context ||
		     (parser->context && strcmp(parser->context, known[i].context) == 0))) {
			report_known(parser, i, report);
			return;
		}
	report_add(report, yaml_place(parser->problem_mark), "%s%s%s, expected YAML", problem,
		   parser->context ? " " : "", parser->context ? parser->context : "");
}
