# Terrace: every entry point is a target here. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help

BUILD ?= build
CUDA ?= auto
SANITIZE ?=
JOBS ?= $(shell nproc)
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(JOBS)
# `make all test` is one after the other: each hands its work to a make of its own, and two of them would build the same.
ifneq ($(filter all test study bench sanitize fuzz torture bundle gpu-check debug install uninstall check-install,$(MAKECMDGOALS)),)
.NOTPARALLEL:
endif
endif

# --- Toolchain ---------------------------------------------------------------------------------------------------
# ccache is used where it is installed; nothing depends on it. All paths on the command line are relative, so that several
# checkouts can share what one of them compiled.
CCACHE := $(shell command -v ccache 2>/dev/null)
export CCACHE_NOHASHDIR := 1
COMPILE := $(CCACHE) $(CXX)
# One version of the formatter, so that every machine formats alike.
CLANG_FORMAT := clang-format-16
HDF5_CFLAGS := $(shell pkg-config --cflags hdf5 2>/dev/null)
HDF5_LIBS := $(shell pkg-config --libs-only-L hdf5 2>/dev/null) -lhdf5
# OpenBLAS's OpenMP build by its own folder, whichever build the system's alternatives point at: one thread pool in the
# process, not two.
comma := ,
OPENBLAS_DIR := $(firstword $(wildcard /usr/lib/*/openblas-openmp))
OPENBLAS_LIBS := $(if $(OPENBLAS_DIR),-L$(OPENBLAS_DIR) -Wl$(comma)-rpath$(comma)$(OPENBLAS_DIR)) -lopenblas

VERSION := $(shell git describe --always --dirty 2>/dev/null || echo unknown)

WARNINGS := -Wall -Wextra -Wshadow -Werror
OPENMP := -fopenmp
DEBUG := -g1
CXXFLAGS := -std=c++20 $(DEBUG) -fPIC $(OPENMP) $(WARNINGS) -MMD -MP -I. $(HDF5_CFLAGS) $(SANITIZE)
OPTIMIZE := -O2
TEST_OPTIMIZE := -O1
KERNEL_FLAGS := -O3 -fno-math-errno -fno-trapping-math
AVX2_FLAGS := -march=x86-64-v3 -DTERRACE_BACKEND=kAvx2
AVX512_FLAGS := -march=x86-64-v4 -mprefer-vector-width=512 -DTERRACE_BACKEND=kAvx512
LDFLAGS := $(OPENMP) $(SANITIZE)
LDLIBS := -ldnnl $(OPENBLAS_LIBS) $(HDF5_LIBS) -lpng -ljpeg -larchive -lxxhash -lz -ldl
# The older kind of rpath serves the libraries of libraries too: in a bundle all lie in lib/.
PROGRAM_LINK := -L$(BUILD)/lib -lterrace -Wl,--disable-new-dtags -Wl,-rpath,'$$ORIGIN/../lib' $(LDLIBS)

# CUDA (docs/cuda.md): where it is on, libterrace_cuda.so is built beside the others; without it everything else is the same.
CUDA_ON := $(shell tools/cuda_status $(CUDA) 2>/dev/null | grep -o '^CUDA: on')
CUDA_HOME ?= $(patsubst %/bin/nvcc,%,$(realpath $(shell command -v nvcc 2>/dev/null)))
NVCC := $(CCACHE) $(CUDA_HOME)/bin/nvcc
CUDA_ARCHS := -gencode=arch=compute_80,code=sm_80 -gencode=arch=compute_90a,code=sm_90a -gencode=arch=compute_90,code=compute_90
CUDA_LIBS := -L$(CUDA_HOME)/lib64 -L$(CUDA_HOME)/lib -Wl,-rpath,$(CUDA_HOME)/lib64 -lcudart -lcublasLt -lcudnn
CUDA_COLUMN := -DTERRACE_LOADED_BACKEND -DTERRACE_BACKEND=kCuda
NVCC_FLAGS := -std=c++20 -O3 -lineinfo --expt-relaxed-constexpr --extended-lambda -Werror all-warnings -MMD -MP -I. $(CUDA_COLUMN) \
  $(CUDA_ARCHS) -Xcompiler -fPIC,-Wall,-Wextra,-Wno-unused-function
CUDA_HOST_FLAGS := -DTERRACE_CUDA_HOST -DTERRACE_LOADED_BACKEND -DTERRACE_BACKEND=kCudaHost -Wno-unknown-pragmas

# --- Sources -----------------------------------------------------------------------------------------------------
# A source is built because it lies where it lies. What is below tensor/kernels/ is built once for each processor, the
# rest of the library once. The rooms of experiments/ are no part of the library: a program is linked with the rooms that
# it includes, directly or through another, so that building one program builds no other's parts.
sources = $(sort $(foreach folder,$(1),$(shell find $(folder) -name '*.$(2)')))
KERNEL_SOURCES := $(call sources,tensor/kernels,cpp)
LIB_SOURCES := $(filter-out $(KERNEL_SOURCES),$(call sources,tensor autograd nn data var metrics,cpp))
PROGRAM_SOURCES := $(wildcard experiments/*.cpp)
ROOM_SOURCES := $(filter-out $(PROGRAM_SOURCES),$(call sources,experiments,cpp))
rooms_in = $(shell sed -nE 's|^\#include "experiments/([a-z_]+)/.*|\1|p' $(1) /dev/null | sort -u)
$(foreach room,$(sort $(foreach source,$(ROOM_SOURCES),$(word 2,$(subst /, ,$(source))))),\
  $(eval ROOMS_OF_$(room) := $(call rooms_in,experiments/$(room)/*)))
also_rooms_of = $(sort $(1) $(foreach room,$(1),$(ROOMS_OF_$(room))))
program_rooms = $(call also_rooms_of,$(call also_rooms_of,$(call also_rooms_of,$(call rooms_in,experiments/$(1).cpp))))
CUDA_KERNELS := $(call sources,cuda/kernels,cu)
CUDA_COMMON := $(wildcard cuda/device/*.cpp)
CUDA_RUNTIME := $(wildcard cuda/runtime/*.cpp cuda/libraries/*.cpp)
CUDA_HOST := $(wildcard cuda/host/*.cpp cuda/executor/*.cpp)
TEST_SOURCES := $(call sources,tests,cpp)
BENCH_SOURCES := $(filter tests/bench/%,$(TEST_SOURCES))
TEST_SOURCES := $(filter-out tests/bench/% tests/fuzz/driver.cpp tests/reliability/main.cpp tests/reliability/preload/%,$(TEST_SOURCES))
# ONLY=tests/ops/softmax.cpp builds a test program of these files and what all tests share, in a build folder of its own.
ONLY ?=
$(foreach source,$(ONLY),$(if $(filter $(source),$(TEST_SOURCES)),,$(error ONLY=$(source): is no source of tests)))
TEST_SOURCES := $(if $(ONLY),$(filter $(wildcard tests/*.cpp) $(ONLY),$(TEST_SOURCES)),$(TEST_SOURCES))
FUZZ_TARGETS := pth pickle safetensors npz config

OBJ := $(BUILD)/obj
# The AVX-512 objects come last: where two objects hold the same inline function the linker keeps the first, so that
# no code an older processor lacks is reached outside the kernel table.
CPU_BACKENDS := avx2 avx512
KERNEL_OBJECTS := $(foreach backend,$(CPU_BACKENDS),$(KERNEL_SOURCES:%.cpp=$(OBJ)/$(backend)/%.o))
LIB_OBJECTS := $(LIB_SOURCES:%.cpp=$(OBJ)/%.o) $(KERNEL_OBJECTS)
TEST_OBJECTS := $(TEST_SOURCES:%.cpp=$(OBJ)/%.o)
BENCH_OBJECTS := $(BENCH_SOURCES:%.cpp=$(OBJ)/%.o)
PROGRAMS := $(PROGRAM_SOURCES:experiments/%.cpp=%)
INSTALLED_PROGRAMS := $(filter-out run_fixture,$(PROGRAMS))  # which reads what tests/ holds
LIBRARY := $(BUILD)/lib/libterrace.so
SONAME := -Wl,-soname,$(notdir $(LIBRARY))  # without a version: programs are built again with the library
# All rooms of experiments/, for tests and benchmarks.
ROOM_ARCHIVE := $(BUILD)/lib/libterrace_experiments.a
ROOM_OBJECTS := $(ROOM_SOURCES:%.cpp=$(OBJ)/%.o)
CUDA_HOST_OBJECTS := $(CUDA_KERNELS:%.cu=$(OBJ)/host/%.o) $(CUDA_COMMON:%.cpp=$(OBJ)/host/%.o) $(CUDA_HOST:%.cpp=$(OBJ)/host/%.o)
CUDA_OBJECTS := $(CUDA_KERNELS:%.cu=$(OBJ)/gpu/%.o) $(CUDA_COMMON:%.cpp=$(OBJ)/gpu/%.o) $(CUDA_RUNTIME:%.cpp=$(OBJ)/gpu/%.o)
CUDA_HOST_LIBRARY := $(BUILD)/lib/libterrace_cuda_host.so
CUDA_LIBRARY := $(BUILD)/lib/libterrace_cuda.so
TESTS := $(BUILD)/bin/terrace_tests
TORTURE := $(BUILD)/bin/torture
FAULTS := $(BUILD)/lib/libterrace_faults.so
TORTURE_OBJECTS := $(filter-out %/short_form.o %_test.o,$(filter $(OBJ)/tests/reliability/%,$(TEST_OBJECTS))) $(OBJ)/tests/reliability/main.o $(OBJ)/tests/support.o
FUZZERS := $(FUZZ_TARGETS:%=$(BUILD)/bin/fuzz_%)
BENCHES := $(BENCH_SOURCES:tests/bench/%.cpp=$(BUILD)/bin/bench_%)
FORMATTED = $(shell find $(wildcard tensor cuda autograd nn data var metrics experiments examples tests) -name '*.h' -o -name '*.cpp' \
              -o -name '*.cu' -o -name '*.cuh')

.SECONDARY:  # objects of programs are kept
.PHONY: help all deps test study bench inception bundle gpu-check parity lint format sanitize fuzz fuzzers clean library executor tests benches torture torture-program cuda cuda-status debug install uninstall check-install FORCE $(PROGRAMS)

help:  ## this list
	@echo "Terrace: visual autoregressive models from the tensor up. Targets:"
	@grep -hE '^[a-z_-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z_-]+):.*## */  \1\t/' | expand -t 17
	@echo "  programs       $(PROGRAMS)"
	@echo "                 (a target each, built to $(BUILD)/bin; NAME --help tells its options)"
	@echo "Variables: BUILD=$(BUILD)  JOBS=$(JOBS)  CUDA=$(CUDA) (auto|0|1)  DATA=FILE.h5 MINUTES=$(MINUTES) STUDY_ARGS=... (study)  PREFIX=$(PREFIX) DESTDIR=... (install)  TEST_ARGS=... (test)  TOKENS=FOLDER (bundle)  TIME=$(TIME) (fuzz, torture)  SEED=$(SEED) CLASSES=A,B (torture)  PEER=1 (bench)"

all: deps cuda-status  ## build every program
	@$(MAKE) --no-print-directory library $(PROGRAMS)

test: deps cuda-status  ## build and run the tests; the last line counts them
	@$(MAKE) --no-print-directory tests $(PROGRAMS)
	@$(TESTS) --gtest_brief=1 $(TEST_ARGS)

PREFIX ?= /usr/local
# make and pkg-config separate paths by blanks.
INTO = $(if $(or $(word 2,$(PREFIX)$(DESTDIR)),$(findstring ',$(PREFIX)),$(findstring ",$(PREFIX))),$(error PREFIX and DESTDIR must hold neither blanks nor quotes, got '$(PREFIX)' and '$(DESTDIR)'),$(abspath $(patsubst ~/%,$(HOME)/%,$(PREFIX))))
install: deps cuda-status  ## programs, library, headers and terrace.pc into PREFIX, below DESTDIR where that is set
	@$(MAKE) --no-print-directory library $(PROGRAMS)
	@tools/install $(BUILD) '$(INTO)' '$(VERSION)' '$(INSTALLED_PROGRAMS)' '$(HDF5_CFLAGS)'

uninstall:  ## remove what install has put into PREFIX
	@tools/install --uninstall $(BUILD) '$(INTO)'

check-install:  ## install into a folder of BUILD and build examples/first_program against it
	@rm -rf $(BUILD)/prefix
	@$(MAKE) --no-print-directory install PREFIX=$(BUILD)/prefix DESTDIR=
	@tools/check_install $(BUILD)/prefix
	@$(MAKE) --no-print-directory uninstall PREFIX=$(BUILD)/prefix DESTDIR=
	@[ -z "$$(find $(BUILD)/prefix -mindepth 1)" ] || { echo "check-install: uninstall left $$(find $(BUILD)/prefix)" >&2; exit 1; }

STUDY_OUT ?= $(BUILD)/study$(if $(DATA),-$(basename $(notdir $(DATA))))
MINUTES ?= 5
study: deps cuda-status  ## train and compare positional encodings; DATA=FILE.h5 takes real images instead of generated ones
	@$(MAKE) --no-print-directory pe_study
	@$(BUILD)/bin/pe_study --minutes $(MINUTES) --out $(STUDY_OUT) $(if $(DATA),--data $(DATA)) $(STUDY_ARGS)

bench: deps  ## build and run the benchmarks; PEER=1 sets up PyTorch to compare with, TORCH_PYTHON=PATH takes one
	@$(MAKE) --no-print-directory benches
	@BENCHES="$(BENCHES)" PEER="$(PEER)" tools/bench

inception:  ## download the weights of the network that FID is computed with (95 MB), to where programs find them
	@tools/fetch_inception

# Stages, limits and what is compared: tools/gpu_check. DEVICE=cuda-host tries the script itself where there is no GPU.
gpu-check: deps cuda-status  ## on a machine with a GPU: all that only one can show, in ten minutes; DEVICE=cuda-host without one
	@$(MAKE) --no-print-directory tests benches $(PROGRAMS)
	@tools/gpu_check

BUNDLE ?= $(BUILD)/terrace-bundle.tar.xz
bundle: deps  ## pack what a machine with a GPU needs for gpu-check; TOKENS=FOLDER adds a tokenizer and its tokens
	@tools/install_dependencies bundle
	@tools/cuda_status 1
	@$(MAKE) --no-print-directory CUDA=1 tests benches $(PROGRAMS)
	@tools/bundle $(BUILD) $(BUNDLE) $(TOKENS)

parity: deps  ## run every golden fixture and print the table of docs/parity.md
	@$(MAKE) --no-print-directory run_fixture >&2
	@tools/parity $(BUILD)/bin/run_fixture

lint: tools-lint  ## format, include directions, lengths of functions and files, left-overs, subjects of commits
	@$(CLANG_FORMAT) --dry-run -Werror $(FORMATTED)
	@tools/check_rooms
	@tools/check_lengths
	@tools/check_leftovers
	@tools/check_subjects
	@echo "lint: clean ($(words $(FORMATTED)) files)"

format: tools-lint  ## clang-format in place
	@$(CLANG_FORMAT) -i $(FORMATTED)

# A test that exceeds a limit of time or memory only under the sanitizers is excluded by name in tools/sanitize. The
# kernels are built for AVX2 alone: the instrumentation of an AVX-512 object runs AVX-512 code when the library is
# loaded, which ends the program on a processor without it; and the sources are the same. GCC 12 takes the instrumented
# <regex> for reading what was never written.
sanitize: deps  ## the tests under AddressSanitizer and UBSan
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/sanitize OPTIMIZE=-O1 CPU_BACKENDS=avx2 \
	  SANITIZE="-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -Wno-maybe-uninitialized" \
	  tests $(PROGRAMS)
	@tools/sanitize $(BUILD)/sanitize/bin/terrace_tests $(TEST_ARGS)

# What the classes are, and how one try is repeated: docs/reliability.md.
SEED ?= 1
torture: deps cuda-status  ## harm files and runs of the programs for TIME seconds and count what comes of it; SEED=N CLASSES=A,B
	@$(MAKE) --no-print-directory torture-program $(PROGRAMS)
	@nice $(TORTURE) --time $(TIME) --seed $(SEED) --jobs $(JOBS) --failures $(BUILD)/torture $(if $(CLASSES),--classes $(CLASSES))

# Nothing is optimised, so that a debugger finds every local; -g3 keeps macros, of which threadIdx is one.
WHAT ?= tests
debug: deps  ## unoptimised, for gdb (docs/debugging.md), in BUILD/debug; WHAT='library executor sample', ONLY=tests/ops/softmax.cpp
	@tools/install_dependencies debug
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/debug DEBUG=-g3 OPTIMIZE=-O0 TEST_OPTIMIZE=-O0 KERNEL_FLAGS=-O0 $(WHAT)

# Clang has libFuzzer; the parsers and what they stand on are built with it. Of OpenMP it takes the library that the
# others use and ignores the pragmas: one thread.
TIME ?= 60
FUZZ_CORPUS ?= $(BUILD)/fuzz/corpus
fuzz: deps  ## each parser of files under libFuzzer, TIME seconds in all; FUZZ_CORPUS=FOLDER keeps what was found
	@tools/install_dependencies fuzz
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/fuzz CXX=clang++ OPTIMIZE=-O1 CPU_BACKENDS=avx2 WARNINGS=-w \
	  OPENMP="-fopenmp=libgomp -idirafter $(shell $(CXX) -print-file-name=include)" LIB_SOURCES="$(filter tensor/% data/%,$(LIB_SOURCES)) var/config.cpp var/pyramid.cpp var/vqvae_config.cpp" \
	  SANITIZE="-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer" fuzzers
	@tools/fuzz $(BUILD)/fuzz/bin $(FUZZ_CORPUS) $(TIME) $(FUZZ_TARGETS)

deps:  ## install what is missing (Debian packages)
	@tools/install_dependencies build

.PHONY: tools-lint
tools-lint:
	@tools/install_dependencies lint

clean:  ## remove everything built
	rm -rf $(BUILD)

cuda-status:
	@tools/cuda_status $(CUDA)

# --- What is built -----------------------------------------------------------------------------------------------
library: $(LIBRARY) $(if $(CUDA_ON),$(CUDA_LIBRARY))
executor: $(CUDA_HOST_LIBRARY)
cuda: $(CUDA_LIBRARY)  ## the CUDA backend alone (nvcc; no GPU needed)
tests: $(TESTS)
benches: $(BENCHES)
fuzzers: $(FUZZERS)
torture-program: $(TORTURE) $(FAULTS)
$(PROGRAMS): %: $(BUILD)/bin/%

# Kernels take longest to compile, so they are begun first.
$(LIBRARY): $(KERNEL_OBJECTS) $(LIB_OBJECTS) $(OBJ)/library.list
	@mkdir -p $(@D)
	@echo "link $@"; $(CXX) -shared $(LDFLAGS) $(SONAME) -o $@ $(LIB_OBJECTS) -Wl,-rpath,'$$ORIGIN' $(LDLIBS)

$(CUDA_HOST_LIBRARY): $(CUDA_HOST_OBJECTS) $(LIBRARY)
	@mkdir -p $(@D)
	@echo "link $@"; $(CXX) -shared $(LDFLAGS) -o $@ $(CUDA_HOST_OBJECTS) -L$(BUILD)/lib -lterrace -Wl,-rpath,'$$ORIGIN'

$(CUDA_LIBRARY): $(CUDA_OBJECTS) $(LIBRARY)
	@mkdir -p $(@D)
	@echo "link $@"; $(CXX) -shared $(LDFLAGS) -Wl,-z,defs -o $@ $(CUDA_OBJECTS) -L$(BUILD)/lib -lterrace -Wl,-rpath,'$$ORIGIN' $(CUDA_LIBS)

$(ROOM_ARCHIVE): $(ROOM_OBJECTS) $(OBJ)/rooms.list
	@mkdir -p $(@D)
	@echo "archive $@"; rm -f $@; $(AR) crs $@ $(ROOM_OBJECTS)

$(TESTS): $(TEST_OBJECTS) $(ROOM_ARCHIVE) $(LIBRARY) $(FAULTS) $(CUDA_HOST_LIBRARY) $(if $(CUDA_ON),$(CUDA_LIBRARY)) $(OBJ)/tests.list
	@mkdir -p $(@D)
	@echo "link $@"; $(CXX) $(LDFLAGS) -o $@ $(TEST_OBJECTS) $(ROOM_ARCHIVE) -lgtest -L$(BUILD)/lib -lterrace_cuda_host $(PROGRAM_LINK)

$(TORTURE): $(TORTURE_OBJECTS) $(ROOM_ARCHIVE) $(LIBRARY)
	@mkdir -p $(@D)
	@echo "link $@"; $(CXX) $(LDFLAGS) -o $@ $(TORTURE_OBJECTS) $(ROOM_ARCHIVE) -lgtest $(PROGRAM_LINK)

# Preloaded into programs, so nothing but the C library is linked.
$(FAULTS): $(OBJ)/tests/reliability/preload/faults.o
	@mkdir -p $(@D)
	@echo "link $@"; $(CXX) -shared -o $@ $< -ldl

$(BUILD)/bin/bench_%: $(OBJ)/tests/bench/%.o $(ROOM_ARCHIVE) $(LIBRARY)
	@mkdir -p $(@D)
	@echo "link $@"; $(CXX) $(LDFLAGS) -o $@ $< $(ROOM_ARCHIVE) $(PROGRAM_LINK)

define program_rule
$(BUILD)/bin/$(1): $(OBJ)/experiments/$(1).o $(filter $(foreach room,$(call program_rooms,$(1)),$(OBJ)/experiments/$(room)/%),$(ROOM_OBJECTS)) $(LIBRARY)
	@mkdir -p $$(@D)
	@echo "link $$@"; $$(CXX) $$(LDFLAGS) -o $$@ $$(filter %.o,$$^) $$(PROGRAM_LINK)
endef
$(foreach program,$(PROGRAMS),$(eval $(call program_rule,$(program))))

$(BUILD)/bin/fuzz_%: $(OBJ)/fuzz/driver_%.o $(OBJ)/fuzz/targets.o $(LIBRARY)
	@mkdir -p $(@D)
	@echo "link $@"; $(CXX) -fsanitize=fuzzer $(LDFLAGS) -o $@ $(filter %.o,$^) $(PROGRAM_LINK)

$(FUZZ_TARGETS:%=$(OBJ)/fuzz/driver_%.o): $(OBJ)/fuzz/driver_%.o: tests/fuzz/driver.cpp $(OBJ)/flags
	@mkdir -p $(@D)
	@echo "c++ $< ($*)"; $(COMPILE) $(CXXFLAGS) $(OPTIMIZE) -DTERRACE_FUZZ_TARGET='"$*"' -c $< -o $@

$(OBJ)/fuzz/targets.o: tests/fuzz/targets.cpp $(OBJ)/flags
	@mkdir -p $(@D)
	@echo "c++ $<"; $(COMPILE) $(CXXFLAGS) $(OPTIMIZE) -c $< -o $@

# Kernels for GPUs by nvcc, and the same sources as C++ for the executor.
$(OBJ)/gpu/cuda/kernels/%.o: cuda/kernels/%.cu $(OBJ)/cuda.flags
	@mkdir -p $(@D)
	@echo "nvcc $<"; $(NVCC) $(NVCC_FLAGS) -c $< -o $@

$(OBJ)/gpu/%.o: %.cpp $(OBJ)/flags $(OBJ)/cuda.flags
	@mkdir -p $(@D)
	@echo "c++ gpu $<"; $(COMPILE) $(CXXFLAGS) $(OPTIMIZE) $(CUDA_COLUMN) -isystem $(CUDA_HOME)/include -c $< -o $@

$(OBJ)/host/cuda/kernels/%.o: cuda/kernels/%.cu $(OBJ)/flags
	@mkdir -p $(@D)
	@echo "c++ host $<"; $(COMPILE) $(CXXFLAGS) $(TEST_OPTIMIZE) $(CUDA_HOST_FLAGS) -x c++ -c $< -o $@

$(OBJ)/host/%.o: %.cpp $(OBJ)/flags
	@mkdir -p $(@D)
	@echo "c++ host $<"; $(COMPILE) $(CXXFLAGS) $(OPTIMIZE) $(CUDA_HOST_FLAGS) -c $< -o $@

$(OBJ)/tests/cuda/%.o: TEST_DEFINES := -DTERRACE_CUDA_HOST -Wno-unknown-pragmas

# A sanitizer brings initialisers of its own.
CHECK_INITIALISERS = $(if $(SANITIZE),,@tools/check_initialisers $@)

$(OBJ)/avx2/%.o: %.cpp $(OBJ)/flags
	@mkdir -p $(@D)
	@echo "c++ avx2 $<"; $(COMPILE) $(CXXFLAGS) $(KERNEL_FLAGS) $(AVX2_FLAGS) -c $< -o $@
	$(CHECK_INITIALISERS)

$(OBJ)/avx512/%.o: %.cpp $(OBJ)/flags
	@mkdir -p $(@D)
	@echo "c++ avx512 $<"; $(COMPILE) $(CXXFLAGS) $(KERNEL_FLAGS) $(AVX512_FLAGS) -c $< -o $@
	$(CHECK_INITIALISERS)

$(BENCH_OBJECTS): $(OBJ)/%.o: %.cpp $(OBJ)/flags
	@mkdir -p $(@D)
	@echo "c++ $<"; $(COMPILE) $(CXXFLAGS) $(OPTIMIZE) -c $< -o $@

# Headers that cost more than most sources that include them are parsed once for the library, once for the programs (a
# JSON library) and once for the tests (GoogleTest). GCC's form of it; another compiler parses them each time.
PRECOMPILED := $(OBJ)/precompiled
PRECOMPILE := $(if $(findstring g++,$(notdir $(CXX))),$(if $(findstring clang,$(CXX)),,yes))
CORE_HEADERS := "tensor/tensor.h" <algorithm> <cmath> <filesystem> <functional> <map> <sstream>
$(PRECOMPILED)/library.h.gch: HEADERS := $(CORE_HEADERS)
$(PRECOMPILED)/programs.h.gch: HEADERS := $(CORE_HEADERS) "data/files/json.h"
$(PRECOMPILED)/tests.h.gch: HEADERS := "tests/support.h"
$(PRECOMPILED)/library.h.gch $(PRECOMPILED)/programs.h.gch: HEADER_OPTIMIZE := $(OPTIMIZE)
$(PRECOMPILED)/tests.h.gch: HEADER_OPTIMIZE := $(TEST_OPTIMIZE)
$(PRECOMPILED)/%.h.gch: $(OBJ)/flags
	@mkdir -p $(@D)
	@printf '#include %s\n' $(foreach header,$(HEADERS),'$(header)') > $(PRECOMPILED)/$*.h
	@echo "c++ $*.h"; $(CXX) $(CXXFLAGS) $(HEADER_OPTIMIZE) -x c++-header $(PRECOMPILED)/$*.h -o $@
	@$(if $(CCACHE),$(CXX) $(filter-out -MMD -MP,$(CXXFLAGS)) -E -P $(PRECOMPILED)/$*.h | sha256sum > $@.sum)
# Two builds of one header differ in their bytes; ccache takes the checksum of what was precompiled instead.
COMPILE_WITH_HEADER = CCACHE_SLOPPINESS=pch_defines,time_macros CCACHE_PCH_EXTSUM=1 $(COMPILE) $(CXXFLAGS) -fpch-preprocess $(if $(PRECOMPILE),-include $(PRECOMPILED)/$(1).h)
precompiled = $(if $(PRECOMPILE),$(PRECOMPILED)/$(1).h.gch)

$(filter $(OBJ)/experiments/%,$(ROOM_OBJECTS) $(PROGRAM_SOURCES:%.cpp=$(OBJ)/%.o)): $(OBJ)/%.o: %.cpp $(OBJ)/flags $(call precompiled,programs)
	@mkdir -p $(@D)
	@echo "c++ $<"; $(call COMPILE_WITH_HEADER,programs) $(OPTIMIZE) $(DEFINE) -c $< -o $@

$(filter-out $(OBJ)/tensor/base/%,$(LIB_SOURCES:%.cpp=$(OBJ)/%.o)): $(OBJ)/%.o: %.cpp $(OBJ)/flags $(call precompiled,library)
	@mkdir -p $(@D)
	@echo "c++ $<"; $(call COMPILE_WITH_HEADER,library) $(OPTIMIZE) -c $< -o $@

$(TEST_OBJECTS): $(OBJ)/%.o: %.cpp $(OBJ)/flags $(call precompiled,tests)
	@mkdir -p $(@D)
	@echo "c++ $<"; $(call COMPILE_WITH_HEADER,tests) $(TEST_OPTIMIZE) $(TEST_DEFINES) -c $< -o $@

$(OBJ)/%.o: %.cpp $(OBJ)/flags
	@mkdir -p $(@D)
	@echo "c++ $<"; $(COMPILE) $(CXXFLAGS) $(OPTIMIZE) -c $< -o $@

# One small object knows the revision, so that a commit rebuilds nothing else.
$(OBJ)/experiments/cli/version.o: DEFINE = -DTERRACE_VERSION='"$(VERSION)"'
$(OBJ)/experiments/cli/version.o: $(OBJ)/version

# Files that hold what was built with; they change only when it does, and what depends on them is then built again.
define record
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$(1))' | cmp -s - $@ || printf '%s\n' '$(subst ','\'',$(1))' > $@
endef
$(OBJ)/flags: FORCE
	$(call record,$(CXX) $(CXXFLAGS) $(OPTIMIZE) $(TEST_OPTIMIZE) $(KERNEL_FLAGS) $(AVX2_FLAGS) $(AVX512_FLAGS) $(CUDA_HOST_FLAGS) $(CORE_HEADERS))
$(OBJ)/cuda.flags: FORCE
	$(call record,$(NVCC) $(NVCC_FLAGS) $(CUDA_LIBS))
$(OBJ)/version: FORCE
	$(call record,$(VERSION))
$(OBJ)/library.list: FORCE
	$(call record,$(LIB_OBJECTS) $(LDFLAGS) $(SONAME) $(LDLIBS))
$(OBJ)/rooms.list: FORCE
	$(call record,$(ROOM_OBJECTS))
$(OBJ)/tests.list: FORCE
	$(call record,$(TEST_OBJECTS) $(LDFLAGS))

-include $(shell find $(OBJ) -name '*.d' 2>/dev/null)
