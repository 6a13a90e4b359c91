/* The schema of the merged stream's database, deploy/postgresql/schema.sql, as the program contains it. */
#ifndef DOORPOST_SCHEMA_H
#define DOORPOST_SCHEMA_H

#define SCHEMA_VERSION 1 /* the last one that the file inserts into schema_version */

extern const char schema_sql[]; /* ends with a NUL */

#endif
