# Terrace: every entry point is a target here. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help

BUILD ?= build
CUDA ?= auto
DEBUG_INFO ?= -g1
SANITIZE ?=

# --- Toolchain ---------------------------------------------------------------------------------------------------
# ccache is used where it is installed; nothing depends on it.
CCACHE := $(shell command -v ccache 2>/dev/null)
COMPILE := $(CCACHE) $(CXX)
HDF5_CFLAGS := $(shell pkg-config --cflags hdf5 2>/dev/null)
HDF5_LIBS := $(shell pkg-config --libs-only-L hdf5 2>/dev/null) -lhdf5
VERSION := $(shell git describe --always --dirty 2>/dev/null || echo unknown)

WARNINGS := -Wall -Wextra -Wshadow -Werror
CXXFLAGS := -std=c++20 -O2 $(DEBUG_INFO) -fPIC -fopenmp $(WARNINGS) -MMD -MP -I. $(HDF5_CFLAGS) $(SANITIZE)
KERNEL_FLAGS := -O3 -fno-math-errno -fno-trapping-math
AVX2_FLAGS := -march=x86-64-v3 -DTERRACE_BACKEND=kAvx2
AVX512_FLAGS := -march=x86-64-v4 -mprefer-vector-width=512 -DTERRACE_BACKEND=kAvx512
LDFLAGS := -fopenmp $(SANITIZE)
LDLIBS := -ldnnl -lopenblas $(HDF5_LIBS) -lpng -ljpeg -larchive -lz -ldl

# --- Sources -----------------------------------------------------------------------------------------------------
KERNEL_SOURCES := $(wildcard tensor/kernels/*.cpp)
LIB_SOURCES := $(wildcard tensor/*.cpp autograd/*.cpp autograd/ops/*.cpp nn/*.cpp data/*.cpp var/*.cpp metrics/*.cpp \
                 experiments/support/*.cpp)
PROGRAM_SOURCES := $(wildcard experiments/*.cpp)
TEST_SOURCES := $(wildcard tests/*.cpp tests/*/*.cpp)
BENCH_SOURCES := $(filter tests/bench/%,$(TEST_SOURCES))
TEST_SOURCES := $(filter-out tests/bench/%,$(TEST_SOURCES))

OBJ := $(BUILD)/obj
# The AVX-512 objects come last: where two objects hold the same inline function the linker keeps the first, so that
# no code an older processor lacks is reached outside the kernel table.
LIB_OBJECTS := $(LIB_SOURCES:%.cpp=$(OBJ)/%.o) $(KERNEL_SOURCES:%.cpp=$(OBJ)/avx2/%.o) $(KERNEL_SOURCES:%.cpp=$(OBJ)/avx512/%.o)
PROGRAMS := $(PROGRAM_SOURCES:experiments/%.cpp=%)
LIBRARY := $(BUILD)/lib/libterrace.so
TESTS := $(BUILD)/bin/terrace_tests
BENCHES := $(BENCH_SOURCES:tests/bench/%.cpp=$(BUILD)/bin/bench_%)

.PHONY: help all deps test study bench lint format sanitize clean library $(PROGRAMS)

help:  ## this list
	@echo "Terrace: visual autoregressive models from the tensor up. Targets:"
	@grep -hE '^[a-z_]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z_]+):.*## */  \1\t/' | expand -t 14
	@echo "  programs      $(PROGRAMS)  (built to $(BUILD)/bin)"

all: deps  ## build every program
	@$(MAKE) --no-print-directory library $(PROGRAMS)

library: $(LIBRARY)
$(PROGRAMS): %: $(BUILD)/bin/%

$(LIBRARY): $(LIB_OBJECTS)
	@mkdir -p $(@D)
	@echo "link $@"; $(CXX) -shared $(LDFLAGS) -o $@ $(LIB_OBJECTS) $(LDLIBS)

$(BUILD)/bin/%: $(OBJ)/experiments/%.o $(LIBRARY)
	@mkdir -p $(@D)
	@echo "link $@"; $(CXX) $(LDFLAGS) -o $@ $< -L$(BUILD)/lib -lterrace -Wl,-rpath,'$$ORIGIN/../lib' $(LDLIBS)

$(TESTS): $(TEST_SOURCES:%.cpp=$(OBJ)/%.o) $(LIBRARY)
	@mkdir -p $(@D)
	@echo "link $@"; $(CXX) $(LDFLAGS) -o $@ $(filter %.o,$^) -L$(BUILD)/lib -lterrace -Wl,-rpath,'$$ORIGIN/../lib' $(LDLIBS) -lgtest

$(BUILD)/bin/bench_%: $(OBJ)/tests/bench/%.o $(LIBRARY)
	@mkdir -p $(@D)
	@echo "link $@"; $(CXX) $(LDFLAGS) -o $@ $< -L$(BUILD)/lib -lterrace -Wl,-rpath,'$$ORIGIN/../lib' $(LDLIBS)

$(OBJ)/avx2/%.o: %.cpp
	@mkdir -p $(@D)
	@echo "c++ avx2 $<"; $(COMPILE) $(CXXFLAGS) $(KERNEL_FLAGS) $(AVX2_FLAGS) -c $< -o $@

$(OBJ)/avx512/%.o: %.cpp
	@mkdir -p $(@D)
	@echo "c++ avx512 $<"; $(COMPILE) $(CXXFLAGS) $(KERNEL_FLAGS) $(AVX512_FLAGS) -c $< -o $@

$(OBJ)/%.o: %.cpp
	@mkdir -p $(@D)
	@echo "c++ $<"; $(COMPILE) $(CXXFLAGS) -c $< -o $@

# The revision is compiled into one object, which is rebuilt when it changes.
$(BUILD)/version: FORCE
	@mkdir -p $(@D)
	@echo '$(VERSION)' | cmp -s - $@ || echo '$(VERSION)' > $@
$(OBJ)/experiments/support/version.o: CXXFLAGS += -DTERRACE_VERSION='"$(VERSION)"'
$(OBJ)/experiments/support/version.o: $(BUILD)/version
FORCE:

deps:  ## install what is missing (Debian packages)
	@true

clean:  ## remove everything built
	rm -rf $(BUILD)

-include $(shell find $(OBJ) -name '*.d' 2>/dev/null)
