/* The assembler copies the file into the program's read-only data (.incbin; the path is relative to the root
 * of the tree). */
#include "schema.h"

__asm__(".pushsection .rodata\n"
        ".globl schema_sql\n"
        ".hidden schema_sql\n"
        "schema_sql: .incbin \"deploy/postgresql/schema.sql\"\n"
        ".byte 0\n"
        ".popsection\n");
