//! A file system that answers nothing. Who asks it waits in the kernel, where no signal reaches it,
//! as with a disk or a server that hangs. Real processes on real machines end up so.

use crate::machine::Machine;
use crate::support::wait_until;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};

/// The kernel's side writes no more at once.
const REQUEST: usize = 1024 * 1024;
/// Where the kernel's questions have their number and the process that asks.
const NUMBER: std::ops::Range<usize> = 8..16;
const ASKER: std::ops::Range<usize> = 32..36;

/// The file system, until this is dropped: then everybody who waits gets an error.
pub struct Silence {
    _device: File,
}

impl Silence {
    /// Puts it over a directory of the machine, and waits until a process of such a unit hangs there.
    #[track_caller]
    pub fn over(machine: &Machine, directory: &str, unit: &str) -> Self {
        let mut device = OpenOptions::new().read(true).write(true).open("/dev/fuse").unwrap();
        let options = "fd=0,rootmode=40000,user_id=0,group_id=0,allow_other";
        let mount = ["mount", "-i", "-t", "fuse", "-o", options, "silence", directory];
        let mut mounting = machine.command(&mount).expect("the machine is on");
        let mut mounting = mounting.stdin(device.try_clone().unwrap()).spawn().unwrap();
        let mut request = vec![0; REQUEST];
        let hello = wait_until("it is mounted", || device.read(&mut request));
        assert!(hello >= 40, "{hello} bytes");
        device.write_all(&welcome(&request[NUMBER])).unwrap();
        loop {
            let read = device.read(&mut request).unwrap();
            assert!(read >= 40, "{read} bytes");
            let asker = u32::from_ne_bytes(request[ASKER].try_into().unwrap());
            // As the machine numbers it, which has mounted this.
            if machine.says(&["cat", &format!("/proc/{asker}/cgroup")]).contains(unit) {
                break;
            }
        }
        mounting.wait().unwrap();
        Self { _device: device }
    }
}

/// The answer to the first question: version 7.12 of the protocol, and nothing special.
fn welcome(number: &[u8]) -> Vec<u8> {
    let mut answer = Vec::new();
    answer.extend(40_u32.to_ne_bytes());
    answer.extend(0_i32.to_ne_bytes());
    answer.extend(number);
    for word in [7_u32, 12, 0, 0, 0, 4096] {
        answer.extend(word.to_ne_bytes());
    }
    answer
}
