//! The operating system's side: clocks, cores, real-time options, sockets, control messages.
//!
//! Knows nothing of packets, drivers and scheduling. First home of `unsafe`: each module that needs it says so.

pub mod addresses;
pub mod affinity;
pub mod clock;
pub mod limits;
pub mod machine;
pub mod meminfo;
pub mod message;
pub mod realtime;
pub mod socket;
pub mod stamp;
pub mod steering;
pub mod stolen;

/// The size of `T` as the kernel's calls about sockets want it.
pub(crate) const fn socklen<T>() -> libc::socklen_t {
    const { assert!(size_of::<T>() <= 4_096, "options and addresses are small") };
    #[expect(clippy::cast_possible_truncation, reason = "checked above")]
    let len = size_of::<T>() as libc::socklen_t;
    len
}
