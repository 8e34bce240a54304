// A file that a process of its own reads: the HDF5 library crashes on some damaged files, reads others without end, and
// takes what memory they ask for. There each of them is the end of that process, and an IoError here.
#pragma once

#include <array>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "data/hdf5/message.h"
#include "data/hdf5/reader.h"
#include "data/hdf5/reading_process.h"

namespace terrace::hdf5 {

class RemoteReader final : public Reader {
 public:
  /// Forks, and opens `path` for reading there. This process must not have the file open through the library's default
  /// driver: the fork would take it for that one, whose descriptor it has closed.
  explicit RemoteReader(std::string path);
  ~RemoteReader() override;

  ObjectKind kind_of(const std::string& name) override;
  std::vector<std::string> list(const std::string& group) override;
  std::vector<std::string> walk(const std::string& group) override;
  Hdf5DatasetInfo info(const std::string& name) override;
  Tensor read(const std::string& name) override;
  Tensor read_rows(const std::string& name, int64_t begin, int64_t end) override;
  std::vector<std::string> read_strings(const std::string& name) override;
  bool has_attr(const std::string& object, const std::string& name) override;
  std::vector<std::string> list_attrs(const std::string& object) override;
  std::string read_attr_string(const std::string& object, const std::string& name) override;
  int64_t read_attr_int(const std::string& object, const std::string& name) override;
  double read_attr_double(const std::string& object, const std::string& name) override;

 private:
  void start();
  Reply ask(const Request& request);
  void send(const Request& request);
  Reply receive(const Request& request);
  void receive_bytes(void* out, size_t count, const Request& request);
  void fill_buffer(const Request& request);
  ReadingProcess::Event wait_for_bytes();
  Tensor receive_tensor(const Request& request);

  /// The process has not survived the request: this and every later call throw IoError.
  [[noreturn]] void fail(const Request& request, const std::string& reason);
  [[noreturn]] void fail_ended(const Request& request);
  [[noreturn]] void fail_stuck(const Request& request);
  [[noreturn]] void fail_garbled(const Request& request);

  std::string path_;
  std::mutex mutex_;  // a request and its reply are one
  std::unique_ptr<ReadingProcess> process_;
  std::string failure_;            // what every call throws, once there is one
  std::array<char, 4096> buffer_;  // received, not yet taken
  size_t buffer_begin_ = 0, buffer_end_ = 0;
};

}  // namespace terrace::hdf5
