/* doorpost completion: prints a shell's completion script, generated from the verb table and each verb's
 * option table. */
#include "ring.h"
#include "verbs.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* The candidates for an operand or an option's value. */
struct offer {
    const char *name; /* as in --help */
    const char *words;
    const char *bash; /* compgen options before the words */
    const char *zsh;  /* the action for _arguments if there are no words */
};

/* A lower-case name is itself the list of words. Other unknown names get no candidates. */
static struct offer find_offer(const char *name) {
    static const struct offer offers[] = {
        {"FILE", "", "-f ", "_files"}, {"DIR", "", "-d ", "_files -/"},
        {"USER", "", "-u ", "_users"}, {"TIME", "now today yesterday", "", ""},
        {"TYPE", RING_TYPES, "", ""},  {"PLACE", "start end", "", ""}};
    for (size_t i = 0; i < sizeof offers / sizeof *offers; i++)
        if (strcmp(name, offers[i].name) == 0)
            return offers[i];
    return (struct offer){name, islower((unsigned char)name[0]) ? name : "", "", ""};
}

static struct offer offer_value(const struct option_spec *option) {
    return find_offer(option->kind == OPTION_DURATION ? "DURATION" : option->argument);
}

static void bash_verb(const struct verb *verb) {
    for (const struct option_spec *option = verb->options; option->name != NULL; option++) {
        if (option->kind == OPTION_FLAG)
            continue;
        struct offer value = offer_value(option);
        fputs("    ", stdout);
        if (option->letter != 0)
            printf("'%s -%c' | ", verb->name, option->letter);
        printf("'%s --%s') offers=(%s-W '%s') ;;\n", verb->name, option->name, value.bash, value.words);
    }
    struct offer operand = find_offer(verb->operands[0] != NULL ? verb->operands[0] : "");
    printf("    '%s '*) offers=(%s-W '%s --help", verb->name, operand.bash, operand.words);
    for (const struct option_spec *option = verb->options; option->name != NULL; option++)
        printf(" --%s", option->name);
    puts("') ;;");
}

static void print_bash(void) {
    fputs("# bash completion for doorpost(1), made by `doorpost completion bash`\n"
          "_doorpost() {\n"
          "  local before=\"${COMP_WORDS[1]} ${COMP_WORDS[COMP_CWORD - 1]}\" offers=(-W '')\n"
          "  local verbs='",
          stdout);
    for (size_t i = 0; verbs[i] != NULL; i++)
        printf("%s ", verbs[i]->name);
    puts("help'\n"
         "  ((COMP_CWORD > 1)) || before=\n"
         "  case $before in\n"
         "    '') offers=(-W \"$verbs version --help --version\") ;;\n"
         "    'help '*) offers=(-W \"$verbs\") ;;");
    for (size_t i = 0; verbs[i] != NULL; i++)
        bash_verb(verbs[i]);
    puts("  esac\n"
         "  mapfile -t COMPREPLY < <(compgen \"${offers[@]}\" -- \"${COMP_WORDS[COMP_CWORD]}\")\n"
         "}\n"
         "complete -F _doorpost doorpost");
}

/* Prints text inside a single-quoted _arguments specification. */
static void zsh_text(const char *text) {
    for (; *text != '\0'; text++)
        if (*text == '\'')
            fputs("'\\''", stdout);
        else
            printf(strchr("\\[]:", *text) != NULL ? "\\%c" : "%c", *text);
}

static void zsh_offer(const char *name, struct offer offer) {
    putchar(':');
    zsh_text(name);
    printf(offer.words[0] != '\0' ? ":(%s)'" : ":%s'", offer.words[0] != '\0' ? offer.words : offer.zsh);
}

static void zsh_verb(const struct verb *verb) {
    printf("  %s)\n    _arguments -S '(- *)'{-h,--help}'[say this]'", verb->name);
    for (const struct option_spec *option = verb->options; option->name != NULL; option++) {
        bool repeats = option->kind == OPTION_LIST;
        if (option->letter == 0)
            printf(" \\\n      '%s--%s[", repeats ? "*" : "", option->name);
        else if (repeats)
            printf(" \\\n      '*'{-%c,--%s}'[", option->letter, option->name);
        else
            printf(" \\\n      '(-%c --%s)'{-%c,--%s}'[", option->letter, option->name, option->letter,
                   option->name);
        zsh_text(option->help);
        if (option->kind == OPTION_FLAG)
            fputs("]'", stdout);
        else
            putchar(']'), zsh_offer(option->argument, offer_value(option));
    }
    for (size_t i = 0; verb->operands[i] != NULL; i++) {
        printf(" \\\n      '%zu", i + 1);
        zsh_offer(verb->operands[i], find_offer(verb->operands[i]));
    }
    puts(verb->stops ? " \\\n      '*::command:_normal'\n    ;;" : "\n    ;;");
}

static void print_zsh(void) {
    puts("#compdef doorpost\n"
         "# zsh completion for doorpost(1), made by `doorpost completion zsh`\n"
         "local -a verbs\n"
         "verbs=(");
    for (size_t i = 0; verbs[i] != NULL; i++)
        printf("  '%s:%s'\n", verbs[i]->name, verbs[i]->summary);
    puts("  'help:describe a verb'\n"
         "  'version:print the version'\n"
         ")\n"
         "if ((CURRENT == 2)) || [[ $words[2] == help ]]; then\n"
         "  _describe verb verbs\n"
         "  return\n"
         "fi\n"
         "shift words\n"
         "((CURRENT--))\n"
         "case $words[1] in");
    for (size_t i = 0; verbs[i] != NULL; i++)
        zsh_verb(verbs[i]);
    puts("esac");
}

static int completion_main(int argc, char *argv[]) {
    int first = options_parse(argc, argv, &verb_completion, NULL);
    if (first < argc && strcmp(argv[first], "bash") == 0)
        print_bash();
    else if (first < argc && strcmp(argv[first], "zsh") == 0)
        print_zsh();
    else
        usage_error("for which shell? Say bash or zsh");
    return STATUS_DONE;
}

static const struct option_spec table[] = {{0}};

const struct verb verb_completion = {
    .name = "completion",
    .summary = "print the completion script for bash or zsh",
    .synopsis = "bash | zsh",
    .what =
        "Prints the script with which that shell completes verbs, options and their values. It is installed\n"
        "with this program; without an installation, say in bash: source <(doorpost completion bash)",
    .operands = {"bash zsh"},
    .options = table,
    .run = completion_main,
};
