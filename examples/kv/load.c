/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines from standard input: keys and values, which threads commit; or commands. */
#include "program.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS_MAX = 3 };

/* --- load ---*/

struct loading {
    const struct program *program;
    pthread_mutex_t lock;
    size_t lines;
    enum envol_status status; /* of the first thread that failed */
    struct envol_error error;
};

/* Of one thread: lines, and what they say. */
struct portion {
    struct kv_change changes[KV_COMMIT_MAX];
    char *lines[KV_COMMIT_MAX];
    size_t count, first;
};

static struct kv_slice slice(const char *from, const char *to)
{
    return (struct kv_slice){from, (size_t)(to - from)};
}

static bool parse_line(char *line, ssize_t length, struct kv_change *change)
{
    char *tab = memchr(line, '\t', (size_t)length), *end = line + length;

    if (tab == NULL)
        return false;
    end -= end[-1] == '\n';
    *change = (struct kv_change){slice(line, tab), slice(tab + 1, end)};
    return true;
}

/* The next lines, in their order; none when there are no more, or a thread has failed. */
static void take_lines(struct loading *loading, struct portion *portion)
{
    pthread_mutex_lock(&loading->lock);
    portion->count = 0;
    portion->first = loading->lines;
    while (loading->status == ENVOL_OK && portion->count < loading->program->batch) {
        char **line = &portion->lines[portion->count];
        size_t capacity = 0;
        ssize_t length;

        *line = NULL;
        length = getline(line, &capacity, stdin);
        if (length <= 0 || !parse_line(*line, length, &portion->changes[portion->count])) {
            if (length > 0)
                loading->status =
                    say_why(&loading->error, ENVOL_E_ARGUMENT, "a line is not KEY<tab>VALUE");
            free(*line);
            break;
        }
        portion->count++;
        loading->lines++;
    }
    pthread_mutex_unlock(&loading->lock);
}

static void note_failure(struct loading *loading, enum envol_status status,
                         const struct envol_error *error)
{
    if (loading->status != ENVOL_OK)
        return;
    loading->status = status;
    loading->error = *error;
}

static void commit_lines(struct loading *loading, struct portion *portion)
{
    struct envol_error error = ENVOL_ERROR_INIT;
    enum envol_status status =
        kv_commit(loading->program->kv, portion->changes, portion->count, &error);

    pthread_mutex_lock(&loading->lock);
    for (size_t i = 0; status == ENVOL_OK && i < portion->count; i++)
        printf("%zu\n", portion->first + i + 1);
    fflush(stdout);
    if (status != ENVOL_OK)
        note_failure(loading, status, &error);
    pthread_mutex_unlock(&loading->lock);
    for (size_t i = 0; i < portion->count; i++)
        free(portion->lines[i]);
}

static void *load_some(void *ctx)
{
    struct loading *loading = ctx;
    struct portion *portion = malloc(sizeof *portion);
    struct envol_error error = ENVOL_ERROR_INIT;

    if (portion == NULL) {
        pthread_mutex_lock(&loading->lock);
        note_failure(loading, say_why(&error, ENVOL_E_NO_MEMORY, "a thread's lines"), &error);
        pthread_mutex_unlock(&loading->lock);
        return NULL;
    }
    for (take_lines(loading, portion); portion->count > 0; take_lines(loading, portion))
        commit_lines(loading, portion);
    free(portion);
    return NULL;
}

/* Of what is committed when it begins. */
static enum envol_status back_up(const struct program *program, struct envol_error *error)
{
    FILE *file = fopen(program->backup, "wx");
    enum envol_status status;

    if (file == NULL)
        return say_why(error, ENVOL_E_IO, program->backup);
    status = kv_backup(program->kv, &program->other, to_stream, file, error);
    if (fclose(file) != 0 && status == ENVOL_OK)
        status = say_why(error, ENVOL_E_IO, program->backup);
    return status;
}

enum envol_status run_load(struct program *program, struct envol_error *error)
{
    struct loading loading = {.program = program, .lock = PTHREAD_MUTEX_INITIALIZER};
    enum envol_status status = ENVOL_OK;
    pthread_t threads[THREADS_MAX];
    unsigned started = 0;

    while (started < program->threads &&
           pthread_create(&threads[started], NULL, load_some, &loading) == 0)
        started++;
    if (started < program->threads)
        status = say_why(error, ENVOL_E_NO_MEMORY, "a thread");
    if (status == ENVOL_OK && program->backup != NULL)
        status = back_up(program, error);
    for (unsigned i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    if (status != ENVOL_OK || loading.status == ENVOL_OK)
        return status;
    *error = loading.error;
    return loading.status;
}

/* --- shell ---*/

/* An answer ends with a line "ok", or with the status and what it is about. */
static enum envol_status run_line(struct program *program, char *line, struct envol_error *error)
{
    char *words[WORDS_MAX + 1], *rest = line;
    const struct command *command;
    int count = 0;

    line[strcspn(line, "\n")] = '\0';
    while (count <= WORDS_MAX && rest != NULL)
        words[count++] = strsep(&rest, "\t");
    program->words = words + 1;
    program->word_count = count - 1;
    command = find_command(words[0], program->word_count);
    if (command == NULL || !command->is_for_shell)
        return say_why(error, ENVOL_E_ARGUMENT, "there is no such command");
    return command->run(program, error);
}

enum envol_status run_shell(struct program *program, struct envol_error *error)
{
    char *line = NULL;
    size_t capacity = 0;

    while (getline(&line, &capacity, stdin) > 0) {
        enum envol_status status = run_line(program, line, error);

        if (status == ENVOL_OK)
            puts("ok");
        else
            printf("%s %s\n", envol_status_name(status), error->message);
        fflush(stdout);
    }
    free(line);
    drop_collected(program); /* without its commit it is nothing */
    return ENVOL_OK;
}
