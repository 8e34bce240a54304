#include "data/hdf5/remote_server.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <vector>

#include "data/hdf5/direct.h"
#include "data/hdf5/message.h"
#include "tensor/base/error.h"
#include "tensor/base/signals_blocked.h"

namespace terrace::hdf5 {
namespace {

/// What each request may take: processor time, and address space beyond what the parent had when it forked. Undamaged
/// files stay far below.
constexpr int64_t kSeconds = 3;
constexpr int64_t kFileBytesPerSecond = 100 << 20;  // metadata
constexpr int64_t kDataBytesPerSecond = 20 << 20;   // as packed by gzip, and on a slow processor
constexpr int64_t kExtraBytes = 512 << 20;

/// The parent decides when the process ends: it closes the socket. What kills by default does so again, whatever the
/// parent does with it.
void set_signals() {
  struct sigaction action {};
  for (int number = 1; number < NSIG; ++number) {
    const bool ignored =
        number == SIGINT || number == SIGTERM || number == SIGHUP || number == SIGQUIT || number == SIGPIPE;
    action.sa_handler = ignored ? SIG_IGN : SIG_DFL;
    sigaction(number, &action, nullptr);
  }
  unblock_signals();
}

/// The parent's files, locks and connections are not kept open, and nothing is printed: where the library damages
/// memory, the C library says so on stderr. Returns the socket's new number.
int keep_only(int socket) {
  constexpr int kKept = 3;
  if (socket != kKept) {
    dup2(socket, kKept);
    close(socket);
  }
  const int nowhere = open("/dev/null", O_RDWR);
  for (int standard = 0; standard < kKept; ++standard) {
    if (nowhere < 0 || dup2(nowhere, standard) < 0) { close(standard); }
  }
  if (close_range(kKept + 1, ~0u, 0) == 0) { return kKept; }
  // A kernel before 5.9, or a container without that call. The limit of descriptors may be a thousand million there.
  if (DIR* all = opendir("/proc/self/fd")) {
    while (const dirent* entry = readdir(all)) {
      const int other = std::atoi(entry->d_name);
      if (other > kKept && other != dirfd(all)) { close(other); }
    }
    closedir(all);
  }
  return kKept;
}

int64_t address_space_in_use() {
  std::FILE* file = std::fopen("/proc/self/statm", "r");
  long long pages = 0;
  const bool known = file != nullptr && std::fscanf(file, "%lld", &pages) == 1;
  if (file != nullptr) { std::fclose(file); }
  return known ? pages * sysconf(_SC_PAGE_SIZE) : -1;
}

/// Ends the process by a signal when it exceeds the processor time; beyond the memory, allocations fail.
class Limits {
 public:
  Limits() : in_use_(address_space_in_use()) {
    getrlimit(RLIMIT_AS, &before_);
    const rlimit no_core{0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    prctl(PR_SET_DUMPABLE, 0);  // RLIMIT_CORE does not keep a crash from a program that collects cores
  }
  void set_file_bytes(int64_t bytes) { file_bytes_ = bytes; }

  /// Of a request that reads `data` bytes of elements in buffers of `buffers` bytes.
  void allow(int64_t data, int64_t buffers) const {
    const int64_t seconds = kSeconds + file_bytes_ / kFileBytesPerSecond + data / kDataBytesPerSecond;
    const itimerval timer{{0, 0}, {static_cast<time_t>(seconds), 0}};
    setitimer(ITIMER_PROF, &timer, nullptr);
    if (in_use_ < 0) { return; }
    const rlim_t bytes = static_cast<rlim_t>(in_use_ + kExtraBytes + std::min(file_bytes_, kExtraBytes) + 4 * buffers);
    const rlimit memory{std::min(bytes, before_.rlim_cur), before_.rlim_max};
    setrlimit(RLIMIT_AS, &memory);
  }

 private:
  int64_t in_use_;
  int64_t file_bytes_ = 0;
  rlimit before_{};
};

class Server {
 public:
  Server(const std::string& path, int socket, char* shared) : path_(path), socket_(socket), shared_(shared) {}

  /// False where the other end is gone, or memory was not enough: nobody knows in what state that left the library.
  bool answer_one() {
    Request request;
    if (!receive(request)) { return false; }
    limits_.allow(0, 0);
    Reply failure;
    try {
      return send(answer(request));
    } catch (const IndexError& error) {
      failure = failed(Outcome::kIndexError, error.what());
    } catch (const Error& error) {
      failure = failed(Outcome::kIoError, error.what());
    } catch (const std::exception&) {  // std::bad_alloc, std::length_error
      failure = failed(Outcome::kOutOfMemory, cat("cannot read ", path_, ": out of memory while ", describe(request),
                                                  ": the HDF5 file is damaged, or too large for this machine"));
    }
    return send(failure) && failure.outcome != Outcome::kOutOfMemory;
  }

 private:
  static Reply failed(Outcome outcome, const std::string& error) {
    Reply reply;
    reply.outcome = outcome;
    reply.error = error;
    return reply;
  }

  bool receive(Request& request) {
    uint64_t size = 0;
    if (!receive_all(socket_, &size, sizeof(size)) || size > kMaxMessageBytes) { return false; }
    std::string bytes(size, '\0');
    return receive_all(socket_, bytes.data(), bytes.size()) && decode(bytes, request);
  }
  bool send(const Reply& reply) {
    std::string bytes = encode(reply);
    if (bytes.size() > kMaxMessageBytes) {
      bytes = encode(failed(Outcome::kIoError, cat("cannot read ", path_, ": a list of more than ", kMaxMessageBytes,
                                                   " bytes: the HDF5 file is damaged, or too large for this program")));
    }
    return send_message(socket_, bytes);
  }

  void open();
  Reply answer(const Request& request);
  Reply stream(const Selection& selection);
  static int64_t block_rows(const Selection& selection);

  /// The half for the next piece, which the one before the last was copied out of.
  char* free_half() {
    wait_for_copies(pieces_ - 1);
    return shared_ + pieces_ % 2 * kHalfBytes;
  }
  /// The last one is left to be sent as the reply.
  void send_piece(Reply& reply, int64_t bytes, bool last) {
    reply.piece_bytes = bytes;
    if (last) {
      wait_for_copies(pieces_);
      return;
    }
    if (!send(reply)) { _exit(0); }
    ++pieces_;
    reply.extents.clear();
  }
  void wait_for_copies(int64_t pieces) {
    for (char byte = 0; copied_ < pieces; ++copied_) {
      if (!receive_all(socket_, &byte, 1)) { _exit(0); }
    }
  }

  std::string path_;
  int socket_;
  char* shared_;
  int64_t pieces_ = 0, copied_ = 0;  // sent of a selection, and copied out
  Limits limits_;
  std::unique_ptr<DirectReader> file_;
};

void Server::open() {
  struct stat status {};
  if (::stat(path_.c_str(), &status) == 0) { limits_.set_file_bytes(status.st_size); }
  limits_.allow(0, 0);
  const Lock lock;
  H5Lunregister(H5L_TYPE_EXTERNAL);  // also where a soft link leads to a link to another file, it leads nowhere
  file_ = std::make_unique<DirectReader>(path_, open_unchecked(path_), Metadata::kDoubtful);
}

/// The rows that are read by one call: those of a piece, but whole chunks, so that none is unpacked twice.
int64_t Server::block_rows(const Selection& selection) {
  const int64_t chunk = selection.chunk_rows;
  const int64_t wanted = std::max(kHalfBytes / std::max<int64_t>(selection.row_bytes, 1), int64_t{1});
  const int64_t whole = wanted / chunk * chunk;
  return whole > 0 ? whole : chunk;
}

Reply Server::stream(const Selection& selection) {
  const int64_t rows = block_rows(selection);
  const int64_t block_bytes = std::min(rows, selection.rows) * selection.row_bytes;
  limits_.allow(std::max(selection.bytes(), selection.chunk_bytes), std::max(block_bytes, selection.chunk_bytes));
  std::vector<char> block(block_bytes > kHalfBytes ? static_cast<size_t>(block_bytes) : 0);
  pieces_ = copied_ = 0;
  Reply reply;
  reply.integer = static_cast<int64_t>(selection.info.dtype);
  reply.extents = selection.info.shape.vector();
  for (int64_t begin = 0, end = 0; begin < selection.rows && selection.row_bytes > 0; begin = end) {
    end = std::min(selection.rows, (selection.first_row + begin) / rows * rows + rows - selection.first_row);
    const int64_t bytes = (end - begin) * selection.row_bytes;
    if (block.empty()) {
      file_->read_to(selection, begin, end, free_half());
      send_piece(reply, bytes, end == selection.rows);
      continue;
    }
    file_->read_to(selection, begin, end, block.data());
    for (int64_t at = 0; at < bytes; at += kHalfBytes) {
      const int64_t piece = std::min(kHalfBytes, bytes - at);
      std::memcpy(free_half(), block.data() + at, static_cast<size_t>(piece));
      send_piece(reply, piece, end == selection.rows && at + piece == bytes);
    }
  }
  return reply;
}

Reply Server::answer(const Request& request) {
  Reply reply;
  switch (request.call) {
    case Call::kOpen:
      open();
      break;
    case Call::kKindOf:
      reply.integer = static_cast<int64_t>(file_->kind_of(request.object));
      break;
    case Call::kList:
      reply.strings = file_->list(request.object);
      break;
    case Call::kWalk:
      reply.strings = file_->walk(request.object);
      break;
    case Call::kInfo: {
      const Hdf5DatasetInfo info = file_->info(request.object);
      reply.integer = info.is_string ? -1 : static_cast<int64_t>(info.dtype);
      reply.extents = info.shape.vector();
      break;
    }
    case Call::kRead:
      return stream(file_->select(request.object));
    case Call::kReadRows:
      return stream(file_->select_rows(request.object, request.begin, request.end));
    case Call::kReadStrings:
      reply.strings = file_->read_strings(request.object);
      break;
    case Call::kHasAttr:
      reply.integer = file_->has_attr(request.object, request.attribute) ? 1 : 0;
      break;
    case Call::kListAttrs:
      reply.strings = file_->list_attrs(request.object);
      break;
    case Call::kAttrString:
      reply.strings = {file_->read_attr_string(request.object, request.attribute)};
      break;
    case Call::kAttrInt:
      reply.integer = file_->read_attr_int(request.object, request.attribute);
      break;
    case Call::kAttrDouble:
      reply.real = file_->read_attr_double(request.object, request.attribute);
      break;
  }
  return reply;
}

}  // namespace

void serve_reads(const std::string& path, int socket, char* shared) noexcept {
  set_signals();
  forget_lock_of_parent();
  prctl(PR_SET_NAME, "terrace-hdf5");
  Server server(path, keep_only(socket), shared);
  while (server.answer_one()) {}
  _exit(0);
}

}  // namespace terrace::hdf5
