// The names under which files are written until they are complete, and what dead processes leave under such names.
#pragma once

#include <string>

namespace terrace {

/// A name beside `path` that this process has not used yet: "PATH.partial-PID-BOOT-N", where BOOT is the beginning of
/// the kernel's boot id. Who writes under it holds the lock of the file (file_lock.h).
std::string partial_name(const std::string& path);

/// Removes the files beside `path` that were to become it and whose writer has ended. Each folder is read once in a
/// process. A file is removed
/// - where its lock can be taken, so that no process, in this container or another one, writes it; of a file that was
///   begun on another machine, or before this one was started anew, only on a disk of this machine, because not every
///   network file system tells of locks that other machines hold;
/// - where an earlier version left it ("PATH.partial-PID-N", without a lock), its process has ended, and it was not
///   written to for an hour.
/// What cannot be removed stays, without an error.
void remove_leftovers(const std::string& path);

/// The same of all files in a folder that is written to by Terrace alone, as its cache.
void remove_leftovers_in(const std::string& folder);

}  // namespace terrace
