//! Memory that is held and that nobody needs at the moment.
//!
//! What a program runs while it starts, its command line above all, stays mapped for as long as it
//! lives, and counts as its memory. Given back, such pages stay in the page cache like any part of a
//! file, and those that are needed again are mapped again at the next touch.

use std::ops::Range;

/// Gives back what is mapped of the program's file and its libraries and was never written. Where the system cannot
/// do that, nothing happens: it is only a matter of memory.
#[cfg(target_os = "linux")]
pub fn give_back() {
    use nix::sys::mman::{MmapAdvise, madvise};
    let Ok(told) = std::fs::read_to_string("/proc/self/smaps") else { return };
    for range in never_written(&told) {
        let address = std::ptr::with_exposed_provenance_mut(range.start);
        let Some(address) = std::ptr::NonNull::new(address) else { continue };
        #[expect(unsafe_code, reason = "no safe call gives pages back")]
        // SAFETY: the range is one private mapping of a file: of the program or a library, which stay
        // mapped until the process ends. It may not be written to, and has no page that differs: so
        // what is read there after this is what was read before.
        let done = unsafe { madvise(address, range.len(), MmapAdvise::MADV_DONTNEED) };
        if let Err(error) = done {
            log::debug!("pages cannot be given back: {error}");
        }
    }
}

/// Elsewhere the system does what it thinks right.
#[cfg(not(target_os = "linux"))]
pub fn give_back() {}

/// A block of so many bytes or more is a mapping of its own.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const OWN_MAPPING: nix::libc::c_int = 128 * 1024;

/// Makes the allocator fit for a long life with many links, before any other thread is started.
///
/// All threads share one arena: with an arena for each of them, what one thread takes and another gives
/// back is free in an arena that does not need it. What is small is kept at hand for each thread anyway,
/// so they seldom wait.
///
/// And what is large goes back to the system as soon as it is free. Left alone, the allocator takes the
/// largest block that was ever freed for the size from which on that is so: after one frame of 1 MiB, frames
/// and pages lie among small blocks that stay, and leave holes which nothing fits into.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn settle_allocator() {
    use nix::libc;
    for (number, value) in [(libc::M_ARENA_MAX, 1), (libc::M_MMAP_THRESHOLD, OWN_MAPPING)] {
        #[expect(unsafe_code, reason = "no safe call sets it")]
        // SAFETY: it sets a number of the allocator under the allocator's own lock.
        let done = unsafe { libc::mallopt(number, value) };
        if done != 1 {
            log::debug!("the allocator does not take {value} for {number}");
        }
    }
}

/// Other allocators do what they think right.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn settle_allocator() {}

/// The private mappings of files that may not be written to and have no page of their own, as
/// /proc/PID/smaps tells them.
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
fn never_written(smaps: &str) -> Vec<Range<usize>> {
    let (mut found, mut current) = (Vec::new(), None);
    for line in smaps.lines() {
        if let Some(head) = head(line) {
            let (range, rights, file) = head;
            let only_read = rights.ends_with('p') && !rights.contains('w');
            current = (file.starts_with('/') && only_read).then_some(range);
        } else if line.split_whitespace().collect::<Vec<_>>() == ["Anonymous:", "0", "kB"] {
            found.extend(current.take());
        }
    }
    found
}

/// A mapping's first line: where it is, what may be done with it, and the file.
fn head(line: &str) -> Option<(Range<usize>, &str, &str)> {
    // Address, rights, offset, device, inode; the file's name may have blanks.
    let mut parts = line.splitn(6, ' ');
    let (start, end) = parts.next()?.split_once('-')?;
    let address = |text| usize::from_str_radix(text, 16).ok();
    let range = address(start)?..address(end)?;
    let rights = parts.next()?;
    Some((range, rights, parts.nth(3).unwrap_or_default().trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
55d0c0000000-55d0c0200000 r--p 00000000 fe:00 1234                       /opt/a program
Rss:                2048 kB
Anonymous:             0 kB
VmFlags: rd mr mw me
55d0c0200000-55d0c0800000 r-xp 00200000 fe:00 1234                       /opt/a program
Anonymous:             0 kB
55d0c0800000-55d0c0880000 r--p 00800000 fe:00 1234                       /opt/a program
Anonymous:           512 kB
55d0c0880000-55d0c0890000 rw-p 00880000 fe:00 1234                       /opt/a program
Anonymous:             0 kB
55d0c1000000-55d0c1021000 rw-p 00000000 00:00 0                          [heap]
Anonymous:             0 kB
7f0000000000-7f0000100000 r-xp 00026000 fe:00 99                         /lib/libc.so.6
Anonymous:             0 kB
7f0000200000-7f0000210000 r--p 00000000 00:00 0 
Anonymous:             0 kB
7f0000300000-7f0000310000 r--s 00000000 00:01 7                          /dev/shm/shared
Anonymous:             0 kB
";

    #[test]
    fn only_what_is_as_a_file_says_is_given_back() {
        let program = [0x55d0_c000_0000..0x55d0_c020_0000, 0x55d0_c020_0000..0x55d0_c080_0000];
        let library = 0x7f00_0000_0000..0x7f00_0010_0000;
        let found = never_written(SMAPS);
        assert_eq!(found[..2], program);
        assert_eq!(found[2..], [library]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_program_goes_on_as_before() {
        let told = || std::fs::read_to_string("/proc/self/smaps").unwrap();
        assert!(!never_written(&told()).is_empty());
        for _ in 0..3 {
            give_back();
            assert!(told().contains("Rss:"));
        }
    }
}
