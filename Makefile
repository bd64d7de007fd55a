# SPDX-License-Identifier: BSD-2-Clause
# Builds libenvol, its command, tests and manuals.  `make help` lists the targets.
#
# Sources are found by wildcard: a new file needs no edit here.
#   lib/*/*.c                     the library
#   lib/NAME/libenvol-NAME.map    makes lib/NAME a library of its own, libenvol-NAME: a provider with
#                                 a heavy dependency; its .pc.in says which, its header is
#                                 include/envol-NAME.h, its tests are test_NAME*.c, fuzz_NAME*.c
#   examples/NAME.c, NAME/*.c     the program build/NAME
#   examples/common/*.c           what several of them share
#   examples/nbdkit, sqlite       what those load: build/nbdkit-envol-plugin.so, build/envolvfs.so
#   tests/test_NAME.c             the suite build/tests/test_NAME
#   tests/kat*.c bench*.c         build/tests/kat, build/tests/bench
#   tests/sqlite/workload.c       build/tests/workload_sqlite3, workload_sqlcipher
#   tests/fuzz_NAME.c             a libFuzzer target
#   tests/modules/fake_NAME.c     build/tests/fake_NAME.so, for the suites of libenvol-NAME to load
#   tests/avx512                 what the emulated machine of `make avx512` starts with
#   other tests/*.c               helpers that all of these share
#   tests/check_*, tests/test_*   scripts (.sh, .py): gates that `make check` runs

# Where things go, and what belongs to the user.
BUILD      ?= build
PREFIX     ?= /usr/local
BINDIR     ?= $(PREFIX)/bin
LIBDIR     ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR     ?= $(PREFIX)/share/man
DOCDIR     ?= $(PREFIX)/share/doc/libenvol
PKG_CONFIG ?= pkg-config
INSTALL    ?= install
CFLAGS     ?= -O2 -g
# WERROR=1 makes warnings errors; WITH_LIBCRYPTO=0 builds without it even where it is found;
# V=1 shows whole commands.  WITH_NAME is the same for the provider library libenvol-NAME: auto
# builds it where its packages are found, 1 fails where they are not.
WERROR         ?= 0
WITH_LIBCRYPTO ?= auto
WITH_KMS       ?= auto
WITH_PKCS11    ?= auto
# The same for the plugins of nbdkit and SQLite.
WITH_NBDKIT    ?= auto
WITH_SQLITE    ?= auto
# What the programs are linked with: static, so that they run from the build directory, or shared, as
# a distribution wants the command that it installs.
LINK           ?= static
# The virtual environment of deps-kms.
MOTO           ?= build/moto
# Used by the sanitizer and coverage targets, which call make again with another BUILD.
SANITIZE     ?=
INSTRUMENT   ?=
FUZZ_CC      ?= clang
FUZZ_SECONDS ?= 30
# Options of build/tests/bench, --quick for one.
BENCH_FLAGS  ?=
# Suites, without test_, that memcheck does not see.  aes_memory replaces malloc and compares whole
# heaps, bytes that were never written included.  The others would take minutes each, for crashes by
# the thousand, records by the million, or threads one after the other: the other sanitizers run
# them, and the quick suites of the same files are here.
VALGRIND_SKIP ?= adopt_threads aes_memory aes_modes aes_pages atomic_crash atomic_pages backup \
                 backup_damage backup_incremental backup_live catalog catalog_crash catalog_damage \
                 faults fuzz_backup fuzz_catalog fuzz_header fuzz_log fuzz_log_record growth \
                 header_crash header_trust import_record kms_aws kms_faults lane lease_calls \
                 lease_threads log log_crash log_damage log_format pace page_extent page_golden \
                 page_io passphrase restore_crash retry rotate rotate_crash rotate_kill \
                 rotate_threads snapshot snapshot_crash threads volume_crash
# Suites, likewise, that make threads, or use what does; of one with a case "threads" that alone.
threaded = $(patsubst tests/test_%.c,%,$(shell grep -lE \
           'pthread_create|envol_lease|lease_fixture|prompt.h' tests/test_*.c | \
           xargs grep -$(1) '"threads"'))
THREADED = $(call threaded,L) $(addsuffix :threads,$(call threaded,l))

# The public header is the one source of the version.
version = $(shell sed -n 's/^.define ENVOL_VERSION_$(1) //p' include/envol/types.h)
MAJOR   := $(call version,MAJOR)
VERSION := $(MAJOR).$(call version,MINOR).$(call version,PATCH)
SONAME  := libenvol.so.$(MAJOR)
SHARED  := libenvol.so.$(VERSION)

DEPS = gcc g++ libc6-dev make pkg-config libsodium-dev libssl-dev libcurl4-openssl-dev \
       libjansson-dev libp11-kit-dev libsqlite3-dev openssl softhsm2 check mandoc sqlite3 python3 \
       python3-cryptography-vectors valgrind strace gdb nbdkit nbdkit-plugin-dev libnbd-bin \
       python3-libnbd fio e2fsprogs postgresql
DEPS_CI = clang clang-format cmake debhelper libclang-rt-14-dev gcovr gnuplot-nox libsqlcipher-dev \
          lintian man-db qemu-utils shellcheck
DEPS_ARM = gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user libsodium-dev:arm64 \
           libssl-dev:arm64 check:arm64
DEPS_AVX512 = bochs bochs-term bochsbios vgabios busybox-static isolinux syslinux-common xorriso

WARNINGS = -Wall -Wextra -Wmissing-prototypes -Wstrict-prototypes -Wshadow -Wconversion -Wvla \
           -Wundef $(if $(filter 1,$(WERROR)),-Werror)
# Only with optimisation does glibc accept it, and the user's own choice goes first.
FORTIFY = $(if $(SANITIZE)$(INSTRUMENT)$(findstring FORTIFY_SOURCE,$(CFLAGS) $(CPPFLAGS)),,$(if \
          $(filter -O1 -O2 -O3 -Os,$(CFLAGS)),-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2))
INSTRUMENTATION = $(INSTRUMENT) $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer \
                  -fno-sanitize-recover=undefined)
ENVOL_CFLAGS = -std=gnu11 -D_GNU_SOURCE -fvisibility=hidden -fPIC -pthread \
               -fstack-protector-strong $(FORTIFY) $(WARNINGS) $(INSTRUMENTATION)
ENVOL_LDFLAGS = -pthread -Wl,-z,relro,-z,now,-z,noexecstack $(INSTRUMENTATION)
# Sanitizer runtimes are resolved at load time.  The library stays loaded once it is: the handlers
# that it registers with pthread_atfork cannot be taken back.
SHARED_LDFLAGS = -shared -Wl,-z,nodelete $(if $(SANITIZE),,-Wl,-z,defs)
soname = -Wl,-soname,$(1) $(patsubst %,-Wl$(comma)--version-script=%,$(wildcard $(2)))
comma := ,

# Names of the provider libraries there are; PROVIDERS, those that this build makes.
ALL_PROVIDERS := $(sort $(foreach map,$(wildcard lib/*/libenvol-*.map),$(patsubst \
                   libenvol-%.map,%,$(notdir $(map)))))

LIB_SRC     := $(filter-out $(foreach p,$(ALL_PROVIDERS),lib/$(p)/%),\
                 $(sort $(wildcard lib/*.c lib/*/*.c)))
LIB_OBJ     := $(LIB_SRC:%.c=$(BUILD)/obj/%.o)
# Tests of a provider library that is not built are left out.
ABSENT       = $(filter-out $(PROVIDERS),$(ALL_PROVIDERS))
left_out     = $(foreach p,$(ABSENT),tests/$(1)_$(p).c tests/$(1)_$(p)_%.c)
TEST_SRC     = $(filter-out $(call left_out,test),$(ALL_TEST_SRC))
FUZZ_SRC     = $(filter-out $(call left_out,fuzz),$(ALL_FUZZ_SRC))
ALL_TEST_SRC := $(sort $(wildcard tests/test_*.c))
ALL_FUZZ_SRC := $(sort $(wildcard tests/fuzz_*.c))
KAT_SRC     := $(sort $(wildcard tests/kat*.c))
BENCH_SRC   := $(sort $(wildcard tests/bench*.c))
SUPPORT_SRC := $(filter-out $(ALL_TEST_SRC) $(ALL_FUZZ_SRC) $(KAT_SRC) $(BENCH_SRC),\
                 $(sort $(wildcard tests/*.c)))
SUITES       = $(TEST_SRC:%.c=$(BUILD)/%)
FUZZERS      = $(FUZZ_SRC:%.c=$(BUILD)/%)
KAT         := $(if $(KAT_SRC),$(BUILD)/tests/kat)
BENCH       := $(if $(BENCH_SRC),$(BUILD)/tests/bench)
SINGLE      := $(patsubst examples/%.c,%,$(sort $(wildcard examples/*.c)))
# What other programs load, from examples/NAME, if pkg-config finds their package, where below LIBDIR
# it is installed, and the manual that goes with it; PLUGINS, names of those that this build makes.
FILE_nbdkit := nbdkit-envol-plugin.so
PACKAGE_nbdkit := nbdkit
WHERE_nbdkit := nbdkit/plugins/
MAN_nbdkit := man/nbdkit-envol-plugin.1
FILE_sqlite := envolvfs.so
PACKAGE_sqlite := sqlite3
WHERE_sqlite := envol/
MAN_sqlite := man/envolvfs.7
ALL_PLUGINS := $(patsubst FILE_%,%,$(filter FILE_%,$(.VARIABLES)))
PLUGIN_FILES = $(foreach name,$(PLUGINS),$(BUILD)/$(FILE_$(name)))
MULTI       := $(filter-out common $(ALL_PLUGINS),$(sort $(patsubst examples/%/,%,$(dir $(wildcard \
                 examples/*/*.c)))))
# What plugins and these programs share.
COMMON      := $(sort $(wildcard examples/common/*.c))
TAKES_COMMON := envol
# Programs that need the packages of a provider library, and are not built where it is not.
NEEDS_kms   := event_loop
PROGRAMS     = $(addprefix $(BUILD)/,$(filter-out $(foreach p,$(ABSENT),$(NEEDS_$(p))),\
                 $(SINGLE) $(MULTI)))
HEADERS     := $(sort $(wildcard include/*.h include/*/*.h))
MANUALS     := $(sort $(wildcard man/*.[1-8]))
FORMATTED    = $(sort $(wildcard include/*.h include/*/*.h lib/*/*.[ch] lib/*.[ch] \
                 examples/*.[ch] examples/*/*.[ch] tests/*.[ch] tests/*/*.[ch]))
SCRIPTS      = $(sort $(wildcard tests/*.sh tests/*/*.sh examples/*.sh examples/*/*.sh) \
                 .ci/run .ci/packages .ci/deb .debian/tests/quickstart)
# The four files of a library of this name, and what a build holds of them.
files_of     = $(1).a $(1).so.$(VERSION) $(1).so.$(MAJOR) $(1).so
NAMES        = libenvol $(PROVIDERS:%=libenvol-%)
LIBRARIES    = $(addprefix $(BUILD)/,$(foreach name,$(NAMES),$(call files_of,$(name))))
ARCHIVES     = $(PROVIDERS:%=$(BUILD)/libenvol-%.a) $(BUILD)/libenvol.a
PC           = lib/libenvol.pc.in $(foreach p,$(PROVIDERS),lib/$(p)/libenvol-$(p).pc.in)
CMAKE       := $(wildcard lib/*.cmake.in)
# Sources of the programs, which are installed to be read.
EXAMPLES    := $(sort $(wildcard examples/*.* examples/*/*.*))
SUPPORT     := $(if $(SUPPORT_SRC),$(BUILD)/tests/libsupport.a)

.PHONY: all deps deps-ci deps-arm deps-avx512 deps-kms demo demo-kms rds bench-nbdkit \
        bench-sqlite check kat install uninstall clean help format format-check man-check lint \
        bench bench-openssl bench-plot fuzz fuzz-programs coverage asan ubsan tsan arm avx512 \
        avx512-long valgrind abi-check abi-record product short deb deb-check chosen suites \
        tests FORCE
.DELETE_ON_ERROR:
.SUFFIXES:
.SECONDARY:

.DEFAULT_GOAL := all

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 16
	@echo 'variables: BUILD CC CFLAGS CPPFLAGS LDFLAGS WERROR WITH_LIBCRYPTO WITH_KMS WITH_PKCS11'
	@echo '           WITH_NBDKIT WITH_SQLITE LINK PREFIX BINDIR LIBDIR INCLUDEDIR MANDIR DOCDIR'
	@echo '           DESTDIR PKG_CONFIG'
	@echo '           FUZZ_SECONDS BENCH_FLAGS ENVOL_TEST_SEED'

deps: ## install the Debian packages that build, demo and check need
	@.ci/packages $(DEPS)

deps-ci: ## install those that .ci/run needs beside them
	@.ci/packages $(DEPS_CI)

deps-arm: ## install a cross compiler, an emulator and the libraries of arm64
	@.ci/packages $(DEPS_ARM)

deps-avx512: ## install an emulator of AVX-512, and what makes a disc that it starts from
	@.ci/packages $(DEPS_AVX512)

deps-kms: ## make a virtual environment with moto, for its suite and demo-kms
	@.ci/packages python3-venv
	@test -x $(MOTO)/bin/moto_server || { python3 -m venv $(MOTO) && \
		$(MOTO)/bin/python3 -m pip install --quiet --disable-pip-version-check 'moto[server]<6'; }

# --- Flags ---------------------------------------------------------------------------------------
# What pkg-config answers is kept in response files, made when their rules run and not when this
# file is read: `make deps all` may install pkg-config first.  Each is replaced only when its text
# changes, and what was built with it depends on it.

packages_first := $(filter deps deps-ci deps-arm deps-avx512,$(MAKECMDGOALS))
write_if_changed = mkdir -p $(@D) && cat >$@.$$$$ && \
                   if cmp -s $@.$$$$ $@; then rm $@.$$$$; else mv $@.$$$$ $@; fi
with_libcrypto = case '$(WITH_LIBCRYPTO)' in \
	0) crypto= ;; \
	1) crypto=libcrypto ;; \
	*) crypto=; ! $(PKG_CONFIG) --exists libcrypto || crypto=libcrypto ;; \
	esac

# What a provider library needs, as its .pc file says, and the user's WITH_NAME.
requires = sed -n 's/^Requires.private: *//p' lib/$(1)/libenvol-$(1).pc.in
with = $(or $(WITH_$(shell printf %s '$(1)' | tr a-z- A-Z_)),auto)

# sh: sets names to those of the names $(1) whose packages, as $(2) says, are found.
found = names=; for pair in $(foreach name,$(1),$(name):$(call with,$(name))); do \
	name=$${pair%:*}; packages=$$($(call $(2),$$name)); \
	case $${pair\#*:} in \
	0) ;; \
	1) $(PKG_CONFIG) --print-errors --exists "$$packages" || \
		{ echo "$$name needs $$packages: make deps" >&2; exit 1; }; names="$$names $$name" ;; \
	*) ! $(PKG_CONFIG) --exists "$$packages" || names="$$names $$name" ;; \
	esac; done
package = case $(1) in $(foreach name,$(ALL_PLUGINS),($(name)) echo $(PACKAGE_$(name)) ;;) esac

# A makefile, so that make reads it again when `deps` has just installed what was missing.
$(BUILD)/names.mk: FORCE | $(packages_first)
	@set -e; { $(call found,$(ALL_PROVIDERS),requires); echo "PROVIDERS :=$$names"; \
		$(call found,$(ALL_PLUGINS),package); echo "PLUGINS :=$$names"; } | { $(write_if_changed); }

# The targets that build nothing do without it.
build_nothing := clean help format format-check lint deps deps-ci deps-kms deps-avx512 uninstall \
                 deb deb-check
ifneq ($(filter-out $(build_nothing),$(or $(MAKECMDGOALS),all)),)
-include $(BUILD)/names.mk
endif

$(BUILD)/packages.cflags: FORCE | $(packages_first)
	@$(PKG_CONFIG) --print-errors --exists libsodium || \
		{ echo 'libsodium or pkg-config is missing: make deps' >&2; exit 1; }
	@set -e; $(with_libcrypto); flags=$$($(PKG_CONFIG) --cflags libsodium $$crypto); \
		echo "-DENVOL_WITH_LIBCRYPTO=$$(echo $$crypto | grep -c .) $$flags" | \
		{ $(write_if_changed); }

$(BUILD)/packages.libs: $(BUILD)/packages.cflags FORCE
	@set -e; $(with_libcrypto); libs=$$($(PKG_CONFIG) --libs libsodium $$crypto); \
		echo "$$libs" | { $(write_if_changed); }

# The provider libraries are seen by the programs and tests alone.
$(BUILD)/providers.cflags: FORCE
	@set -e; flags=; for name in $(PROVIDERS); do \
		with=$$(echo "$$name" | tr a-z- A-Z_); \
		flags="$$flags -DENVOL_WITH_$$with=1 $$($(PKG_CONFIG) --cflags "$$($(call requires,$$name))")"; \
		done; echo "$$flags" | { $(write_if_changed); }

# Each program takes only what it uses.
$(BUILD)/providers.libs: FORCE
	@set -e; flags=; for name in $(PROVIDERS); do \
		flags="$$flags $$($(PKG_CONFIG) --libs "$$($(call requires,$$name))")"; done; \
		echo "-Wl,--as-needed $$flags" | { $(write_if_changed); }

$(BUILD)/check.flags: FORCE | $(packages_first)
	@$(PKG_CONFIG) --print-errors --exists check || \
		{ echo 'the Check framework is missing: make deps' >&2; exit 1; }
	@{ $(PKG_CONFIG) --cflags --libs check; } | { $(write_if_changed); }

$(BUILD)/flags: FORCE
	@{ printf '%s\n' $(call quote,$(CC) $(ENVOL_CFLAGS) $(CPPFLAGS) $(CFLAGS)) \
		$(call quote,$(AR) $(ENVOL_LDFLAGS) $(SHARED_LDFLAGS) $(LDFLAGS) $(LDLIBS) $(LINK)); } | \
		{ $(write_if_changed); }
quote = '$(subst ','\'',$(1))'

Q = $(if $(V),,@echo '  $(@:$(BUILD)/%=%)' && )

stamps := $(BUILD)/flags $(BUILD)/packages.cflags
compile = mkdir -p $(@D) && $(CC) $(ENVOL_CFLAGS) @$(BUILD)/packages.cflags $(CPPFLAGS) $(CFLAGS) \
          -MMD -MP -c -o $@ $<
link = $(CC) $(ENVOL_LDFLAGS) $(CFLAGS) $(LDFLAGS) -o $@
libs = @$(BUILD)/packages.libs $(LDLIBS)

all: product $(PROGRAMS) $(PLUGIN_FILES) ## the libraries, static and shared, and all programs (default)

product: $(LIBRARIES) $(filter $(BUILD)/envol,$(PROGRAMS)) ## what install takes: the libraries and the command

# --- Library -------------------------------------------------------------------------------------

$(BUILD)/obj/lib/%.o: lib/%.c $(stamps)
	$(Q)$(compile) -Iinclude -Ilib

# The list of objects is a prerequisite too: a source that is gone leaves the archive.
$(BUILD)/objects: FORCE
	@echo '$(LIB_OBJ)' | { $(write_if_changed); }

$(BUILD)/libenvol.a: $(LIB_OBJ) $(BUILD)/objects
	$(Q)rm -f $@ && $(AR) rcs $@ $(LIB_OBJ)

$(BUILD)/$(SHARED): $(LIB_OBJ) $(BUILD)/objects $(BUILD)/packages.libs $(wildcard lib/libenvol.map)
	$(Q)$(link) $(SHARED_LDFLAGS) $(call soname,$(SONAME),lib/libenvol.map) $(LIB_OBJ) $(libs)

$(BUILD)/$(SONAME) $(BUILD)/libenvol.so: $(BUILD)/$(SHARED)
	@ln -sf $(SHARED) $@

# --- Provider libraries: of libenvol they see the public headers alone ----------------------------

define provider
$(1)_src := $(sort $(wildcard lib/$(1)/*.c))
$(1)_obj := $$($(1)_src:%.c=$(BUILD)/obj/%.o)

$$($(1)_obj): $(BUILD)/obj/lib/$(1)/%.o: lib/$(1)/%.c $(stamps) $(BUILD)/providers.cflags
	$$(Q)$$(compile) @$(BUILD)/providers.cflags -Iinclude -Ilib

$(BUILD)/$(1).objects: FORCE
	@echo '$$($(1)_obj)' | { $$(write_if_changed); }

$(BUILD)/libenvol-$(1).a: $$($(1)_obj) $(BUILD)/$(1).objects
	$$(Q)rm -f $$@ && $$(AR) rcs $$@ $$($(1)_obj)

$(BUILD)/libenvol-$(1).so.$(VERSION): $$($(1)_obj) $(BUILD)/$(1).objects $(BUILD)/libenvol.so \
  $(BUILD)/providers.libs lib/$(1)/libenvol-$(1).map
	$$(Q)$$(link) $$(SHARED_LDFLAGS) \
		$$(call soname,libenvol-$(1).so.$(MAJOR),lib/$(1)/libenvol-$(1).map) \
		$$($(1)_obj) -L$(BUILD) -lenvol @$(BUILD)/providers.libs $$(LDLIBS)

$(BUILD)/libenvol-$(1).so.$(MAJOR) $(BUILD)/libenvol-$(1).so: $(BUILD)/libenvol-$(1).so.$(VERSION)
	@ln -sf libenvol-$(1).so.$(VERSION) $$@
endef
$(foreach name,$(PROVIDERS),$(eval $(call provider,$(name))))

# --- Programs: the public headers are all they can see -------------------------------------------

shared_programs := $(filter shared,$(LINK))
our_libraries    = $(if $(shared_programs),-L$(BUILD) -Wl$(comma)--as-needed \
                     $(PROVIDERS:%=-lenvol-%) -lenvol,$(ARCHIVES))

$(BUILD)/obj/examples/%.o: examples/%.c $(stamps) $(BUILD)/providers.cflags
	$(Q)$(compile) @$(BUILD)/providers.cflags -Iinclude -Iexamples

define program
$(BUILD)/$(1): $(patsubst %.c,$(BUILD)/obj/%.o,$(2)) $(if $(shared_programs),$(LIBRARIES),\
  $(ARCHIVES)) $(BUILD)/packages.libs $(BUILD)/providers.libs
	$$(Q)$$(link) $(patsubst %.c,$(BUILD)/obj/%.o,$(2)) $(our_libraries) $$(libs) \
		@$(BUILD)/providers.libs
endef
$(foreach name,$(SINGLE),$(eval $(call program,$(name),examples/$(name).c)))
$(foreach name,$(MULTI),$(eval $(call program,$(name),$(sort $(wildcard examples/$(name)/*.c)) \
  $(if $(filter $(name),$(TAKES_COMMON)),$(COMMON)))))

# --- Plugins -------------------------------------------------------------------------------------
# They export what the program looks for and nothing else.  Symbols of the program are found when it
# loads them; the library, which they hold, stays loaded.

define plugin
$(1)_obj := $(patsubst %.c,$(BUILD)/obj/%.o,$(sort $(wildcard examples/$(1)/*.c)) $(COMMON))

$(BUILD)/obj/examples/$(1)/%.o: ENVOL_CFLAGS += $$$$($(PKG_CONFIG) --cflags $(PACKAGE_$(1)))

$(BUILD)/$(FILE_$(1)): $$($(1)_obj) $(ARCHIVES) $(BUILD)/packages.libs $(BUILD)/providers.libs
	$$(Q)$$(link) -shared -Wl,-z,nodelete -Wl,--exclude-libs,ALL $$($(1)_obj) $(ARCHIVES) $$(libs) \
		@$(BUILD)/providers.libs
endef
$(foreach name,$(ALL_PLUGINS),$(eval $(call plugin,$(name))))

# One source, once with each library: their functions have the same names.
$(BUILD)/tests/workload_%: tests/sqlite/workload.c $(BUILD)/flags
	$(Q)mkdir -p $(@D) && $(CC) -std=gnu11 -D_GNU_SOURCE -O2 $(WARNINGS) -o $@ $< \
		$$($(PKG_CONFIG) --cflags --libs $*) $(if $(filter sqlcipher,$*),-DWITH_SQLCIPHER)

demo: all ## tell the story of an encrypted volume, with real parts
	@BUILD=$(BUILD) sh examples/demo.sh

demo-kms: all deps-kms ## tell its last part with a key in moto's AWS KMS
	@BUILD=$(BUILD) MOTO=$(MOTO) sh examples/demo_kms.sh

rds: all ## RDS in a box: PostgreSQL on an encrypted device (needs root, FUSE and loop devices)
	@BUILD=$(BUILD) bash examples/rds/rds.sh

# --- Tests ---------------------------------------------------------------------------------------

$(BUILD)/obj/tests/%.o: tests/%.c $(stamps) $(BUILD)/check.flags $(BUILD)/providers.cflags
	$(Q)$(compile) @$(BUILD)/providers.cflags -Iinclude -Ilib -Itests

$(SUPPORT): $(SUPPORT_SRC:%.c=$(BUILD)/obj/%.o)
	$(Q)mkdir -p $(@D) && rm -f $@ && $(AR) rcs $@ $^

link_test = mkdir -p $(@D) && $(link) $(filter %.o,$^) $(SUPPORT) $(ARCHIVES) $(libs) \
            @$(BUILD)/providers.libs @$(BUILD)/check.flags
test_parts := $(SUPPORT) $(ARCHIVES) $(BUILD)/packages.libs $(BUILD)/providers.libs \
              $(BUILD)/check.flags

$(SUITES): $(BUILD)/tests/%: $(BUILD)/obj/tests/%.o $(test_parts)
	$(Q)$(link_test)

MODULES = $(foreach p,$(PROVIDERS),$(patsubst tests/modules/%.c,$(BUILD)/tests/%.so,\
            $(wildcard tests/modules/fake_$(p).c)))
$(MODULES): $(BUILD)/tests/%.so: $(BUILD)/obj/tests/modules/%.o
	$(Q)mkdir -p $(@D) && $(link) -shared $<

$(BUILD)/tests/kat: $(KAT_SRC:%.c=$(BUILD)/obj/%.o) $(test_parts)
	$(Q)$(link_test)

$(BUILD)/tests/bench: $(BENCH_SRC:%.c=$(BUILD)/obj/%.o) $(test_parts)
	$(Q)$(link_test)

$(FUZZERS): $(BUILD)/tests/%: $(BUILD)/obj/tests/%.o $(test_parts)
	$(subst fuzzer-no-link,fuzzer,$(link_test))

tests: all $(SUITES) $(KAT) $(BENCH) $(MODULES) ## build the tests, run none

run = BUILD=$(BUILD) CC='$(CC)' MAKE='$(MAKE)' PKG_CONFIG='$(PKG_CONFIG)' \
      PROVIDERS='$(PROVIDERS)' bash tests/run.sh

check: tests ## run all suites, published vectors and gates; the last line is the summary
	@$(run) suites gates

# ONLY names some suites, without test_, NAME:CASE for one case: then nothing else is built or run.
only = $(if $(ONLY),$(foreach name,$(ONLY),$(BUILD)/tests/test_$(firstword \
         $(subst :, ,$(name)))) $(KAT) $(MODULES))
chosen: $(or $(only),tests)

suites: chosen ## run the suites and vectors alone
	@ONLY='$(ONLY)' $(run) suites

# Some of each floor, of seconds together: what a package's build runs.
SHORT = base cpu kdf aes_scan page page_xts blob golden header header_golden store file_store \
        key_file volume volume_open slots rotate_pages log snapshot_uses backup_faults \
        $(if $(filter kms,$(PROVIDERS)),kms_response kms_sigv4) \
        $(if $(filter pkcs11,$(PROVIDERS)),pkcs11_uri)
short: ## run some quick suites, building those alone
	+@$(MAKE) --no-print-directory ONLY='$(SHORT)' suites

kat: $(KAT) ## build build/tests/kat and run NIST's vectors through it
	@$(if $(wildcard tests/nist_vectors.py),python3 tests/nist_vectors.py | $(BUILD)/tests/kat,:)

QEMU_ARM = qemu-aarch64 -L /usr/aarch64-linux-gnu

# A build of its own under another directory, and the suites in it.
again = $(MAKE) --no-print-directory CFLAGS='-O1 -g'

asan: ## run the suites under the address and the undefined behaviour sanitizer
	+@$(again) BUILD=$(BUILD)/asan SANITIZE=address,undefined suites

ubsan: ## run them under the undefined behaviour sanitizer alone
	+@$(again) BUILD=$(BUILD)/ubsan SANITIZE=undefined suites

tsan: ## run those that have threads under the thread sanitizer
	+@$(again) BUILD=$(BUILD)/tsan SANITIZE=thread ONLY='$(THREADED)' suites

valgrind: tests ## run them under memcheck
	@VALGRIND_SKIP='$(VALGRIND_SKIP)' WRAPPER=valgrind $(run) suites

# Check's own processes and timers do not work under the emulator: tests run in one process.  Named
# with their suite are the cases that can, within seconds or, pages, half a minute.
ON_ARM = cpu:features aes:kernels aes_guard:kernels aes_modes:xts aes_pages:pages
arm: ## cross-build for arm64, and run published vectors and the kernels' suites under qemu
	+@$(again) BUILD=$(BUILD)/arm64 CC=aarch64-linux-gnu-gcc ONLY='xaes $(ON_ARM)' all chosen \
		PKG_CONFIG='env PKG_CONFIG_LIBDIR=/usr/lib/aarch64-linux-gnu/pkgconfig pkg-config'
	python3 tests/nist_vectors.py | $(QEMU_ARM) $(BUILD)/arm64/tests/kat
	CK_FORK=no $(QEMU_ARM) $(BUILD)/arm64/tests/test_xaes
	@for run in $(ON_ARM); do \
		echo "$$run"; CK_FORK=no CK_RUN_CASE=$${run#*:} \
		$(QEMU_ARM) $(BUILD)/arm64/tests/test_$${run%:*} || exit 1; \
	done

# The kernels' tests, at about a hundredth of a machine's speed.  ON_AVX512 takes two minutes and is
# what continuous integration runs, with each kernel; the others, with vaes512 alone, take half an
# hour.
ON_AVX512 = kat test_cpu test_aes test_aes_scan test_aes_modes:threads test_xaes:derivation \
            test_page_batch
LONG_AVX512 = test_aes_guard test_aes_modes:gcm test_aes_modes:xts test_aes_pages \
              test_xaes:published test_aes_memory test_page test_page_memory \
              test_page_xts
programs_of = $(addprefix $(BUILD)/tests/,$(sort $(foreach run,$(1),$(firstword \
              $(subst :, ,$(run))))))
avx512: $(call programs_of,$(ON_AVX512)) ## run vectors and kernels' suites under an emulator of AVX-512 (downloads a kernel)
	@python3 tests/avx512.py $(BUILD) $(ON_AVX512)

avx512-long: $(call programs_of,$(LONG_AVX512)) ## run those of the kernels' suites there that take long
	@ENVOL_TEST_KERNEL=vaes512 AVX512_SECONDS=7200 python3 tests/avx512.py $(BUILD) $(LONG_AVX512)

# One run serves both: what the sanitizers watch is what is counted.
coverage: ## line coverage of lib/ in a run under the sanitizers of asan; fails below 90 %
	@find $(BUILD)/coverage -name '*.gcda' -delete 2>/dev/null || :
	+@$(again) BUILD=$(BUILD)/coverage SANITIZE=address,undefined \
		INSTRUMENT='--coverage -fprofile-update=atomic' suites
	gcovr --root . --filter lib/ --object-directory $(BUILD)/coverage --print-summary \
		--txt $(BUILD)/coverage/lines.txt --html-details $(BUILD)/coverage/index.html \
		--fail-under-line 90 $(BUILD)/coverage

fuzz-programs: $(FUZZERS)

fuzz: ## fuzz each target for FUZZ_SECONDS
	+@$(again) BUILD=$(BUILD)/fuzz CC='$(FUZZ_CC)' fuzz-programs \
		SANITIZE=fuzzer-no-link,address,undefined
	@set -e; for name in $(notdir $(FUZZERS)); do \
		corpus=$(BUILD)/fuzz/corpus/$$name; mkdir -p $$corpus; \
		echo "fuzz: $$name, $(FUZZ_SECONDS) s"; \
		$(BUILD)/fuzz/tests/$$name -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 \
			-artifact_prefix=$(BUILD)/fuzz/$$name- $$corpus \
			$$(ls -d tests/corpus/$$name 2>/dev/null); \
	done

bench: $(BENCH) ## measure, print a table and what became of the budgets; BENCH_FLAGS: see --help
	@$(BENCH) --save $(BUILD)/bench.tsv $(BENCH_FLAGS)

bench-openssl: $(BENCH) ## compare its libcrypto rows with openssl speed
	@BUILD=$(BUILD) bash tests/bench_openssl.sh

bench-nbdkit: all ## compare the nbdkit plugin with nbdkit's luks filter (needs qemu-img)
	@BUILD=$(BUILD) bash tests/bench_nbdkit.sh

bench-sqlite: all $(BUILD)/tests/workload_sqlite3 $(BUILD)/tests/workload_sqlcipher ## compare envolvfs with SQLite in clear and SQLCipher
	@python3 tests/bench_sqlite.py $(BUILD) $(BENCH_FLAGS)

# Of the last run of bench, or of one that it makes.
bench-plot: ## draw build/bench.png of that run: kernels by page size (needs gnuplot)
	@command -v gnuplot >/dev/null || \
		{ echo 'bench-plot: gnuplot is missing: apt-get install gnuplot-nox' >&2; exit 1; }
	@test -s $(BUILD)/bench.tsv || $(MAKE) --no-print-directory bench
	@gnuplot -e "tsv='$(BUILD)/bench.tsv'; png='$(BUILD)/bench.png'" tests/bench.gnuplot
	@echo $(BUILD)/bench.png

abi_gate = BUILD=$(BUILD) CC='$(CC)' PROVIDERS='$(PROVIDERS)' PYTHONDONTWRITEBYTECODE=1
abi-check: all ## compare symbols, structs, types and constants with the map and with tests/abi
	@$(abi_gate) sh tests/check_symbols.sh
	@$(abi_gate) python3 tests/check_abi.py

abi-record: all ## take what was added to the ABI into tests/abi; ABI_BREAK=1: what changed, too
	@$(abi_gate) python3 tests/check_abi.py record

man-check: all ## lint the manuals, compile their examples, compare their prototypes
	@BUILD=$(BUILD) CC='$(CC)' PKG_CONFIG='$(PKG_CONFIG)' PROVIDERS='$(PROVIDERS)' \
		sh tests/check_manuals.sh

# --- Packages ------------------------------------------------------------------------------------

deb: ## build the Debian packages in build/deb (needs debhelper)
	@.ci/deb $(abspath $(BUILD))/deb $(VERSION)

deb-check: deb ## look at them with lintian, and use them unpacked
	@BUILD=$(BUILD) CC='$(CC)' bash tests/deb.sh

# --- Upkeep --------------------------------------------------------------------------------------

format: ## reformat all C files
	@clang-format -i $(FORMATTED)

format-check: ## fail where `make format` would change something
	@clang-format --dry-run --Werror $(FORMATTED)

lint: ## check the scripts
	@shellcheck $(SCRIPTS)

clean: ## remove build/
	rm -rf $(BUILD)

# Each manual page is found under every name in its NAME section.
man_names = sed -n '/^.Sh NAME/,/^.Nd/s/^.Nm \([^ ]*\).*/\1/p'

# What says where the tree is follows PREFIX and LIBDIR, so install alone writes it.  CMake's files
# look from their own place, and are right wherever the tree is moved to.
config_dir = $(LIBDIR)/cmake/envol
fill_in = sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' -e 's|@MAJOR@|$(MAJOR)|' \
          -e 's|@LIBDIR@|$(patsubst $(PREFIX)/%,$${prefix}/%,$(LIBDIR))|' \
          -e 's|@INCLUDEDIR@|$(patsubst $(PREFIX)/%,$${prefix}/%,$(INCLUDEDIR))|' \
          -e "s|@REQUIRES_PRIVATE@|libsodium$${crypto:+, $$crypto}|" \
          -e "s|@CRYPTO@|$${crypto:+crypto}|" \
          -e "s|@INCLUDE@|$$(realpath -ms --relative-to='$(config_dir)' '$(INCLUDEDIR)')|" \
          -e "s|@POINTER_BYTES@|$$(echo __SIZEOF_POINTER__ | $(CC) $(CFLAGS) -E -P -)|"
install_filled = set -e; $(with_libcrypto); for file in $(1); do $(fill_in) $$file | \
                 $(INSTALL) -m 644 /dev/stdin '$(DESTDIR)$(2)'/$$(basename $$file .in); done

install: product $(PLUGIN_FILES) ## install below DESTDIR and PREFIX
	$(INSTALL) -d '$(DESTDIR)$(LIBDIR)/pkgconfig' '$(DESTDIR)$(config_dir)' \
		'$(DESTDIR)$(INCLUDEDIR)/envol'
	$(INSTALL) -m 644 $(ARCHIVES) '$(DESTDIR)$(LIBDIR)'
	$(INSTALL) -m 755 $(NAMES:%=$(BUILD)/%.so.$(VERSION)) '$(DESTDIR)$(LIBDIR)'
	@set -e; for name in $(NAMES); do \
		ln -sf $$name.so.$(VERSION) '$(DESTDIR)$(LIBDIR)'/$$name.so.$(MAJOR); \
		ln -sf $$name.so.$(VERSION) '$(DESTDIR)$(LIBDIR)'/$$name.so; \
	done
	@$(call install_filled,$(PC),$(LIBDIR)/pkgconfig)
	@$(call install_filled,$(CMAKE),$(config_dir))
	$(INSTALL) -m 644 $(filter-out $(ABSENT:%=include/envol-%.h),$(wildcard include/*.h)) \
		'$(DESTDIR)$(INCLUDEDIR)'
	$(INSTALL) -m 644 $(wildcard include/envol/*.h) '$(DESTDIR)$(INCLUDEDIR)/envol'
	$(if $(filter $(BUILD)/envol,$(PROGRAMS)),$(INSTALL) -d '$(DESTDIR)$(BINDIR)' && \
		$(INSTALL) -m 755 $(BUILD)/envol '$(DESTDIR)$(BINDIR)')
	@set -e; for plugin in $(foreach name,$(PLUGINS),$(WHERE_$(name))$(FILE_$(name))); do \
		$(INSTALL) -d '$(DESTDIR)$(LIBDIR)'/$${plugin%/*}; \
		$(INSTALL) -m 755 $(BUILD)/$${plugin##*/} '$(DESTDIR)$(LIBDIR)'/$$plugin; \
	done
	@set -e; for page in $(filter-out $(foreach name,$(filter-out $(PLUGINS),$(ALL_PLUGINS)),\
		$(MAN_$(name))),$(MANUALS)); do \
		section=$${page##*.}; dir='$(DESTDIR)$(MANDIR)'/man$$section; file=$${page##*/}; \
		$(INSTALL) -d "$$dir"; $(INSTALL) -m 644 $$page "$$dir"; \
		for name in $$($(man_names) $$page); do \
			test $$name.$$section = $$file || ln -sf $$file "$$dir/$$name.$$section"; \
		done; \
	done
	$(INSTALL) -d $(DOC_DIRS)
	$(INSTALL) -m 644 README.md COPYING '$(DESTDIR)$(DOCDIR)'
	@set -e; for file in $(EXAMPLES); do \
		$(INSTALL) -m 644 $$file '$(DESTDIR)$(DOCDIR)'/$$file; \
	done

DOC_DIRS = '$(DESTDIR)$(DOCDIR)' \
           $(patsubst %/,'$(DESTDIR)$(DOCDIR)/%',$(sort examples/ $(dir $(EXAMPLES))))

# Files by their names, and then the directories that are ours, where nothing else lies in them.
uninstall: ## remove what install put there
	@rm -f $(foreach name,libenvol $(ALL_PROVIDERS:%=libenvol-%),$(patsubst \
		%,'$(DESTDIR)$(LIBDIR)/%',$(call files_of,$(name)) pkgconfig/$(name).pc)) \
		$(patsubst lib/%.in,'$(DESTDIR)$(config_dir)/%',$(CMAKE)) \
		'$(DESTDIR)$(BINDIR)/envol' \
		$(foreach name,$(ALL_PLUGINS),'$(DESTDIR)$(LIBDIR)/$(WHERE_$(name))$(FILE_$(name))') \
		$(patsubst include/%,'$(DESTDIR)$(INCLUDEDIR)/%',$(HEADERS)) \
		$(patsubst %,'$(DESTDIR)$(DOCDIR)/%',README.md COPYING $(EXAMPLES))
	@for page in $(MANUALS); do \
		section=$${page##*.}; dir='$(DESTDIR)$(MANDIR)'/man$$section; rm -f "$$dir/$${page##*/}"; \
		for name in $$($(man_names) $$page); do rm -f "$$dir/$$name.$$section"; done; \
	done
	@printf '%s\n' '$(DESTDIR)$(INCLUDEDIR)/envol' '$(DESTDIR)$(config_dir)' $(DOC_DIRS) \
		$(foreach name,$(ALL_PLUGINS),'$(DESTDIR)$(LIBDIR)/$(WHERE_$(name))') | sort -r | \
		while read -r dir; do \
			test ! -d "$$dir" || rmdir --ignore-fail-on-non-empty "$$dir"; \
		done

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
