// What a RemoteReader and the process that reads for it send each other. Messages go over a socket: their length and
// their bytes, the numbers as this machine has them. The elements of a dataset go through memory that both share, in
// pieces that lie in its halves in turn: a piece is written while the one before is copied out. The reply to kRead and
// kReadRows is the first of as many replies as there are pieces; a byte comes back for each but the last when it was
// copied.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace terrace::hdf5 {

enum class Call : uint8_t {
  kOpen,
  kKindOf,
  kList,
  kWalk,
  kInfo,
  kRead,
  kReadRows,
  kReadStrings,
  kHasAttr,
  kListAttrs,
  kAttrString,
  kAttrInt,
  kAttrDouble,
};

struct Request {
  Call call = Call::kOpen;
  std::string object{};
  std::string attribute{};
  int64_t begin = 0, end = 0;  // of rows
};

/// What the request is about, after "while": "listing group "x"".
std::string describe(const Request& request);

/// After kOutOfMemory, an IoError too, the process ends.
enum class Outcome : uint8_t { kGiven, kIoError, kIndexError, kOutOfMemory };

struct Reply {
  Outcome outcome = Outcome::kGiven;
  std::string error;
  int64_t integer = 0;
  double real = 0;
  std::vector<int64_t> extents;
  int64_t piece_bytes = 0;
  std::vector<std::string> strings;
};

/// No message is longer.
inline constexpr uint64_t kMaxMessageBytes = uint64_t{64} << 20;

std::string encode(const Request& request);
std::string encode(const Reply& reply);
/// False where the bytes are no such message. What a message declares takes no memory before its bytes are there.
bool decode(const std::string& bytes, Request& request);
bool decode(const std::string& bytes, Reply& reply);

/// The shared memory.
inline constexpr int64_t kHalfBytes = 1 << 20;

/// False where the other end is gone.
bool send_all(int socket, const void* bytes, size_t count);
bool receive_all(int socket, void* bytes, size_t count);
bool send_message(int socket, const std::string& bytes);

}  // namespace terrace::hdf5
