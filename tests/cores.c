/* SPDX-License-Identifier: BSD-2-Clause */
/* Core files: by the kernel, of a process that a signal ends, and by a debugger, of one that waits.
 */
#include "cores.h"

#include "support.h"

#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Room enough for any core of a suite; on disk it is a few MiB. */
#define CORE_BYTES_MAX (UINT64_C(1) << 28)

/* Whether the kernel writes a core into the directory of the process that dies. */
static bool kernel_dumps(void)
{
    char pattern[128] = "";
    struct rlimit limit;
    FILE *file = fopen("/proc/sys/kernel/core_pattern", "re");
    bool named = file != NULL && fgets(pattern, sizeof(pattern), file) != NULL &&
                 strncmp(pattern, "core", 4) == 0 && strchr(pattern, '/') == NULL;

    if (file != NULL)
        fclose(file);
    return named && getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_max >= CORE_BYTES_MAX;
}

bool core_possible(bool by_debugger)
{
    /* Shadow memory, and memory of a tool's own, are no part of what is promised. */
    if (test_tool() != NULL)
        test_skip("cores", "the tool has memory of its own");
    else if (by_debugger && system("command -v gcore >/dev/null") != 0)
        test_skip("cores by a debugger", "gcore is missing");
    else if (!by_debugger && !kernel_dumps())
        test_skip("cores by the kernel", "the system keeps them elsewhere, or allows none");
    else
        return true;
    return false;
}

__attribute__((noreturn)) static void die(int (*body)(void *), void *argument, bool by_debugger)
{
    const struct rlimit limit = {CORE_BYTES_MAX, CORE_BYTES_MAX};
    const char *directory = test_path("dump");
    int failed;

    if (setrlimit(RLIMIT_CORE, &limit) != 0)
        _exit(100);
    signal(SIGABRT, SIG_DFL);
    failed = body(argument);
    /* Two system calls: registers are as body left them. */
    if (failed == 0 && chdir(directory) == 0)
        raise(by_debugger ? SIGSTOP : SIGABRT);
    _exit(failed);
}

static bool debugger_dumps(pid_t process)
{
    char command[700];

    snprintf(command, sizeof(command), "gcore -o '%s/core' %ld >/dev/null 2>&1", test_path("dump"),
             (long)process);
    return system(command) == 0;
}

static bool end_child(pid_t child, bool by_debugger)
{
    bool dumped = true;
    int status;

    ck_assert_int_eq(waitpid(child, &status, WUNTRACED), child);
    if (by_debugger) {
        ck_assert_msg(WIFSTOPPED(status), "step %d", WEXITSTATUS(status));
        dumped = debugger_dumps(child);
        kill(child, SIGKILL);
        ck_assert_int_eq(waitpid(child, &status, 0), child);
    } else {
        ck_assert_msg(WIFSIGNALED(status), "step %d", WEXITSTATUS(status));
        ck_assert_int_eq(WTERMSIG(status), SIGABRT);
    }
    return dumped;
}

/* Its name may have more behind "core", the number of the process for one. */
static void find_core(char path[1024])
{
    const char *directory = test_path("dump");
    DIR *entries = opendir(directory);
    struct dirent *entry;

    path[0] = '\0';
    ck_assert_ptr_nonnull(entries);
    while ((entry = readdir(entries)) != NULL)
        if (strncmp(entry->d_name, "core", 4) == 0)
            ck_assert_int_lt(snprintf(path, 1024, "%s/%s", directory, entry->d_name), 1024);
    closedir(entries);
    ck_assert_msg(path[0] != '\0', "there is no core");
}

/* A disk that is full, or a limit, would leave less. */
static void check_whole(const struct core *core)
{
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)core->bytes;
    const Elf64_Phdr *segment;

    ck_assert_uint_gt(core->size, sizeof(*header));
    ck_assert_mem_eq(header->e_ident, ELFMAG, SELFMAG);
    ck_assert_int_eq(header->e_type, ET_CORE);
    ck_assert_uint_le(header->e_phoff + header->e_phnum * sizeof(*segment), core->size);
    segment = (const Elf64_Phdr *)(core->bytes + header->e_phoff);
    for (size_t i = 0; i < header->e_phnum; i++)
        ck_assert_uint_le(segment[i].p_offset + segment[i].p_filesz, core->size);
}

static void map_core(const char *path, struct core *core)
{
    struct stat about;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fstat(fd, &about), 0);
    core->size = (size_t)about.st_size;
    core->bytes = mmap(NULL, core->size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    ck_assert_ptr_ne(core->bytes, MAP_FAILED);
    close(fd);
    unlink(path);
    check_whole(core);
}

bool core_of(int (*body)(void *), void *argument, bool by_debugger, struct core *core)
{
    char path[1024];
    pid_t child;

    ck_assert(mkdir(test_path("dump"), 0700) == 0 || errno == EEXIST);
    fflush(NULL);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        die(body, argument, by_debugger);
    if (!end_child(child, by_debugger)) {
        test_skip("cores by a debugger", "it may not trace here");
        return false;
    }
    find_core(path);
    map_core(path, core);
    return true;
}

void core_forget_registers(struct core *core)
{
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)core->bytes;
    const Elf64_Phdr *segment = (const Elf64_Phdr *)(core->bytes + header->e_phoff);

    for (size_t i = 0; i < header->e_phnum; i++)
        if (segment[i].p_type == PT_NOTE)
            memset(core->bytes + segment[i].p_offset, 0, segment[i].p_filesz);
}

void core_free(struct core *core)
{
    munmap(core->bytes, core->size);
}
