#include "data/hdf5/remote.h"

#include <signal.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

#include "data/hdf5/plausible.h"
#include "tensor/base/error.h"

namespace terrace::hdf5 {
namespace {

const char* name_of_signal(int number) {
  switch (number) {
    case SIGSEGV:
      return "segmentation fault";
    case SIGABRT:
      return "aborted";
    case SIGBUS:
      return "bus error";
    case SIGFPE:
      return "arithmetic error";
    case SIGILL:
      return "illegal instruction";
    default:
      return nullptr;
  }
}

}  // namespace

RemoteReader::RemoteReader(std::string path) : path_(std::move(path)) { start(); }

RemoteReader::~RemoteReader() = default;

void RemoteReader::start() {
  buffer_begin_ = buffer_end_ = 0;
  process_ = std::make_unique<ReadingProcess>(path_);
  try {
    const Request open;
    send(open);
    receive(open);
  } catch (...) {
    process_.reset();
    throw;
  }
}

// --- The end of the process ---

void RemoteReader::fail(const Request& request, const std::string& reason) {
  process_.reset();
  failure_ = cat("cannot read ", path_, ": ", reason, " while ", describe(request));
  throw IoError(failure_);
}

void RemoteReader::fail_ended(const Request& request) {
  const int number = process_->ended_by();
  if (number == SIGPROF || number == SIGXCPU) { fail_stuck(request); }
  if (const char* name = name_of_signal(number)) {
    fail(request, cat("damaged HDF5 file: the HDF5 library crashed (", name, ")"));
  }
  if (number != 0) { fail(request, cat("the process that reads it was ended by signal ", number)); }
  fail(request, "damaged HDF5 file: the HDF5 library ended its process");
}

void RemoteReader::fail_stuck(const Request& request) {
  fail(request, "damaged HDF5 file: the HDF5 library did not come to an end");
}

void RemoteReader::fail_garbled(const Request& request) {
  fail(request, "damaged HDF5 file: the HDF5 library corrupted its memory");
}

// --- Requests ---

Reply RemoteReader::ask(const Request& request) {
  const std::lock_guard lock(mutex_);
  send(request);
  return receive(request);
}

void RemoteReader::send(const Request& request) {
  if (!failure_.empty()) { throw IoError(failure_); }
  if (process_ == nullptr || !process_->is_own()) { start(); }
  if (!send_message(process_->socket(), encode(request))) { fail_ended(request); }
}

Reply RemoteReader::receive(const Request& request) {
  uint64_t size = 0;
  receive_bytes(&size, sizeof(size), request);
  if (size > kMaxMessageBytes) { fail_garbled(request); }
  Reply reply;
  try {
    std::string bytes;
    while (bytes.size() < size) {
      constexpr size_t kStep = 1 << 20;  // a wrong size takes no memory that nothing comes for
      const size_t begin = bytes.size(), more = std::min<size_t>(size - begin, kStep);
      bytes.resize(begin + more);
      receive_bytes(bytes.data() + begin, more, request);
    }
    if (!decode(bytes, reply)) { fail_garbled(request); }
  } catch (const std::bad_alloc&) { fail_garbled(request); }
  if (reply.outcome == Outcome::kOutOfMemory) { process_.reset(); }  // the next call starts another
  if (reply.outcome == Outcome::kIndexError) { throw IndexError(reply.error); }
  if (reply.outcome != Outcome::kGiven) { throw IoError(reply.error); }
  return reply;
}

void RemoteReader::receive_bytes(void* out, size_t count, const Request& request) {
  char* next = static_cast<char*>(out);
  while (count > 0) {
    if (buffer_begin_ == buffer_end_) { fill_buffer(request); }
    const size_t taken = std::min(count, buffer_end_ - buffer_begin_);
    std::memcpy(next, buffer_.data() + buffer_begin_, taken);
    buffer_begin_ += taken;
    next += taken;
    count -= taken;
  }
}

/// Where the user ends the program meanwhile, so does the process, and with it goes the rest of the reply.
ReadingProcess::Event RemoteReader::wait_for_bytes() {
  try {
    return process_->wait();
  } catch (const Interrupted&) {
    process_.reset();
    throw;
  }
}

void RemoteReader::fill_buffer(const Request& request) {
  while (true) {
    const ssize_t got = ::recv(process_->socket(), buffer_.data(), buffer_.size(), MSG_DONTWAIT);
    if (got > 0) {
      buffer_begin_ = 0;
      buffer_end_ = static_cast<size_t>(got);
      return;
    }
    if (got < 0 && errno == EAGAIN) {
      const ReadingProcess::Event event = wait_for_bytes();
      if (event == ReadingProcess::Event::kEnd) { fail_ended(request); }
      if (event == ReadingProcess::Event::kStuck) { fail_stuck(request); }
    } else if (got == 0 || errno != EINTR) {
      fail_ended(request);
    }
  }
}

Tensor RemoteReader::receive_tensor(const Request& request) {
  Reply reply = receive(request);
  if (reply.integer < 0 || reply.integer > static_cast<int64_t>(DType::kBool)) { fail_garbled(request); }
  const DType dtype = static_cast<DType>(reply.integer);
  const Shape shape(reply.extents);
  try {
    int64_t left = bytes_in_memory(shape, size_of(dtype), path_, cat("dataset \"", request.object, "\""));
    Tensor out = Tensor::empty(shape, dtype);
    char* next = static_cast<char*>(out.raw_data());
    for (int64_t piece = 0; left > 0; ++piece) {
      if (piece > 0) {
        const char copied = 0;
        if (!send_all(process_->socket(), &copied, sizeof(copied))) { fail_ended(request); }
        reply = receive(request);
      }
      const int64_t bytes = reply.piece_bytes;
      if (bytes < 1 || bytes > std::min(left, kHalfBytes)) { fail_garbled(request); }
      std::memcpy(next, process_->shared() + piece % 2 * kHalfBytes, static_cast<size_t>(bytes));
      next += bytes;
      left -= bytes;
    }
    return out;
  } catch (const std::bad_alloc&) {
    process_.reset();  // with it goes what is left of the reply; the next call starts another
    throw IoError(cat("cannot read ", path_, ": not enough memory for dataset \"", request.object, "\" of shape ",
                      shape, " ", dtype));
  } catch (const Error&) {
    process_.reset();
    throw;
  }
}

// --- The calls ---

ObjectKind RemoteReader::kind_of(const std::string& name) {
  return static_cast<ObjectKind>(ask({.call = Call::kKindOf, .object = name}).integer);
}

std::vector<std::string> RemoteReader::list(const std::string& group) {
  return ask({.call = Call::kList, .object = group}).strings;
}

std::vector<std::string> RemoteReader::walk(const std::string& group) {
  return ask({.call = Call::kWalk, .object = group}).strings;
}

Hdf5DatasetInfo RemoteReader::info(const std::string& name) {
  const Request request{.call = Call::kInfo, .object = name};
  const std::lock_guard lock(mutex_);
  send(request);
  const Reply reply = receive(request);
  if (reply.integer > static_cast<int64_t>(DType::kBool)) { fail_garbled(request); }
  Hdf5DatasetInfo info;
  info.shape = Shape(reply.extents);
  info.is_string = reply.integer < 0;
  if (!info.is_string) { info.dtype = static_cast<DType>(reply.integer); }
  return info;
}

Tensor RemoteReader::read(const std::string& name) {
  const std::lock_guard lock(mutex_);
  const Request request{.call = Call::kRead, .object = name};
  send(request);
  return receive_tensor(request);
}

Tensor RemoteReader::read_rows(const std::string& name, int64_t begin, int64_t end) {
  const std::lock_guard lock(mutex_);
  const Request request{.call = Call::kReadRows, .object = name, .begin = begin, .end = end};
  send(request);
  return receive_tensor(request);
}

std::vector<std::string> RemoteReader::read_strings(const std::string& name) {
  return ask({.call = Call::kReadStrings, .object = name}).strings;
}

bool RemoteReader::has_attr(const std::string& object, const std::string& name) {
  return ask({.call = Call::kHasAttr, .object = object, .attribute = name}).integer != 0;
}

std::vector<std::string> RemoteReader::list_attrs(const std::string& object) {
  return ask({.call = Call::kListAttrs, .object = object}).strings;
}

std::string RemoteReader::read_attr_string(const std::string& object, const std::string& name) {
  const Request request{.call = Call::kAttrString, .object = object, .attribute = name};
  const std::lock_guard lock(mutex_);
  send(request);
  const Reply reply = receive(request);
  if (reply.strings.size() != 1) { fail_garbled(request); }
  return reply.strings[0];
}

int64_t RemoteReader::read_attr_int(const std::string& object, const std::string& name) {
  return ask({.call = Call::kAttrInt, .object = object, .attribute = name}).integer;
}

double RemoteReader::read_attr_double(const std::string& object, const std::string& name) {
  return ask({.call = Call::kAttrDouble, .object = object, .attribute = name}).real;
}

}  // namespace terrace::hdf5
