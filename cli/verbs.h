/* The verbs. Each is run with the arguments from its own name on, and returns an exit code. */
#ifndef DOORPOST_VERBS_H
#define DOORPOST_VERBS_H

int verb_init(int argc, char *argv[]);
int verb_doctor(int argc, char *argv[]);
int verb_key(int argc, char *argv[]);
int verb_sign(int argc, char *argv[]);
int verb_verify_signature(int argc, char *argv[]);
int verb_trigger(int argc, char *argv[]);
int verb_log(int argc, char *argv[]);
int verb_exec(int argc, char *argv[]);
int verb_stats(int argc, char *argv[]);
int verb_check(int argc, char *argv[]);
int verb_prune(int argc, char *argv[]);
int verb_rejected(int argc, char *argv[]);

#endif
