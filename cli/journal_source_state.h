/* State shared by the files of the journal as a source: journal_source.c implements the interface,
 * journal_source_read.c reads lines, journal_source_save.c saves progress. */
#ifndef DOORPOST_JOURNAL_SOURCE_STATE_H
#define DOORPOST_JOURNAL_SOURCE_STATE_H

#include "backoff.h"
#include "resume.h"
#include "schedule.h"
#include "settled.h"
#include "source.h"
#include "waiting.h"

struct journal_source {
    struct source base;
    const char *journal;
    const struct run *run;
    struct event_parser *parser;
    struct event event; /* the last one parsed */
    struct settled settled;
    struct schedule *schedule;
    struct cursor cursor; /* pending save, if `unsaved` */
    struct waiting waiting;
    struct cursor loaded; /* as of the start of reading: its entries for lines not read yet are kept */
    struct resume resume;
    bool unsaved, reserved;
    bool ready;                /* events may be started in this pass */
    bool instructions_pending; /* an instruction concerns events that are running or not read yet */
    struct backoff read_backoff, save_backoff, queue_backoff, reread_backoff, position_backoff;
    unsigned matched;  /* of the events that are retried */
    struct walk again; /* for rereading the line of an event about to start */
};

/* ---- journal_source_read.c ---- */

/* Continues after the cursor's position or, if that does not hold, from the first line that was not run. */
int journal_source_resume(struct journal_source *source, struct reason *reason);

/* Reads new lines into the schedule. */
void journal_source_read_new(struct journal_source *source);

/* Reads the list of events that were given up into the schedule. Returns an exit code. */
int journal_source_read_failed(struct journal_source *source);

/* Rereads the event of an item, also into source->event. Returns 1 with its record, 0 if it was deleted, or
 * an error. */
int journal_source_reread(struct journal_source *source, struct item *item, struct record *record,
                          struct reason *reason);

/* ---- journal_source_save.c ---- */

/* Stops starting commands, and makes the run fail. Running commands end by themselves. */
void journal_source_end_broken(struct journal_source *source);

/* Fails a one-shot run: the journal cannot be read, or progress cannot be saved. */
void journal_source_end_if_once(struct journal_source *source);

/* Starts nothing for a while, because something cannot be saved. */
void journal_source_pause(struct journal_source *source, struct backoff *backoff,
                          const struct reason *reason);

/* Updates the cursor with the events that have ended. */
void journal_source_update_cursor(struct journal_source *source);

/* Saves all changes. Returns true if everything is saved. */
bool journal_source_save(struct journal_source *source);

/* Returns true if there is room to record the results of the commands about to be started. */
bool journal_source_reserve(struct journal_source *source);
void journal_source_release(struct journal_source *source);

#endif
