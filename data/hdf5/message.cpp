#include "data/hdf5/message.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "tensor/base/error.h"

namespace terrace::hdf5 {
namespace {

class Writer {
 public:
  template <class T>
  void number(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  void text(const std::string& value) {
    number<uint64_t>(value.size());
    bytes_ += value;
  }
  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

class Decoder {
 public:
  explicit Decoder(const std::string& bytes) : bytes_(bytes) {}

  template <class T>
  T number() {
    T value{};
    if (has(sizeof(T))) { std::memcpy(&value, bytes_.data() + at_, sizeof(T)); }
    at_ += sizeof(T);
    return value;
  }
  std::string text() {
    const auto size = number<uint64_t>();
    if (!has(size)) { return ""; }
    at_ += size;
    return bytes_.substr(at_ - size, size);
  }
  bool good() const { return good_; }
  bool all_read() { return good_ && at_ == bytes_.size(); }

 private:
  bool has(uint64_t count) {
    good_ = good_ && at_ <= bytes_.size() && count <= bytes_.size() - at_;
    return good_;
  }
  const std::string& bytes_;
  size_t at_ = 0;
  bool good_ = true;
};

}  // namespace

std::string describe(const Request& request) {
  const std::string object = cat("\"", request.object.empty() ? "/" : request.object, "\"");
  switch (request.call) {
    case Call::kOpen:
      return "opening it";
    case Call::kKindOf:
      return "looking for " + object;
    case Call::kList:
    case Call::kWalk:
      return "listing group " + object;
    case Call::kInfo:
      return "looking at dataset " + object;
    case Call::kRead:
    case Call::kReadStrings:
      return "reading dataset " + object;
    case Call::kReadRows:
      return cat("reading rows [", request.begin, ", ", request.end, ") of dataset ", object);
    case Call::kListAttrs:
      return "listing the attributes of " + object;
    case Call::kHasAttr:
      return cat("looking for attribute \"", request.attribute, "\" of ", object);
    case Call::kAttrString:
    case Call::kAttrInt:
    case Call::kAttrDouble:
      return cat("reading attribute \"", request.attribute, "\" of ", object);
  }
  return "reading it";
}

std::string encode(const Request& request) {
  Writer out;
  out.number(request.call);
  out.text(request.object);
  out.text(request.attribute);
  out.number(request.begin);
  out.number(request.end);
  return out.take();
}

bool decode(const std::string& bytes, Request& request) {
  Decoder in(bytes);
  request.call = in.number<Call>();
  request.object = in.text();
  request.attribute = in.text();
  request.begin = in.number<int64_t>();
  request.end = in.number<int64_t>();
  return in.all_read();
}

std::string encode(const Reply& reply) {
  Writer out;
  out.number(reply.outcome);
  out.text(reply.error);
  out.number(reply.integer);
  out.number(reply.real);
  out.number(reply.piece_bytes);
  out.number<uint64_t>(reply.extents.size());
  for (const int64_t extent : reply.extents) { out.number(extent); }
  out.number<uint64_t>(reply.strings.size());
  for (const std::string& value : reply.strings) { out.text(value); }
  return out.take();
}

bool decode(const std::string& bytes, Reply& reply) {
  Decoder in(bytes);
  reply.outcome = in.number<Outcome>();
  reply.error = in.text();
  reply.integer = in.number<int64_t>();
  reply.real = in.number<double>();
  reply.piece_bytes = in.number<int64_t>();
  const auto extents = in.number<uint64_t>();
  for (uint64_t i = 0; i < extents && in.good(); ++i) { reply.extents.push_back(in.number<int64_t>()); }
  const auto strings = in.number<uint64_t>();
  for (uint64_t i = 0; i < strings && in.good(); ++i) { reply.strings.push_back(in.text()); }
  return in.all_read() && reply.outcome <= Outcome::kOutOfMemory;
}

bool send_all(int socket, const void* bytes, size_t count) {
  const char* next = static_cast<const char*>(bytes);
  while (count > 0) {
    const ssize_t sent = ::send(socket, next, count, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) { continue; }
    if (sent <= 0) { return false; }
    next += sent;
    count -= static_cast<size_t>(sent);
  }
  return true;
}

bool receive_all(int socket, void* bytes, size_t count) {
  char* next = static_cast<char*>(bytes);
  while (count > 0) {
    const ssize_t got = ::recv(socket, next, count, 0);
    if (got < 0 && errno == EINTR) { continue; }
    if (got <= 0) { return false; }
    next += got;
    count -= static_cast<size_t>(got);
  }
  return true;
}

bool send_message(int socket, const std::string& bytes) {
  const uint64_t size = bytes.size();
  std::string framed(reinterpret_cast<const char*>(&size), sizeof(size));
  framed += bytes;
  return send_all(socket, framed.data(), framed.size());
}

}  // namespace terrace::hdf5
