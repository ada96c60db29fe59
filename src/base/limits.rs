//! Every bound in one place, with the relations between them held at compile time.

use super::priority::Priority;
use super::time::Nanos;

/// The longest budget that a config or a header may ask for.
pub const BUDGET_MAX: Nanos = Nanos::from_secs(60);
/// The largest UDP payload over IPv4.
pub const DATAGRAM_MAX: usize = 65_507;
/// Where the config names none: what fits one Ethernet frame, rounded up to a power of two.
pub const MAX_DATAGRAM_DEFAULT: usize = 2_048;
/// The most a quota may be (seed 002: `clamp(…, 1, 512)`).
pub const QUOTA_MAX: u32 = 512;
/// The most packets that one worker may hold queued, all classes together.
pub const QUEUE_TOTAL_MAX: usize = QUOTA_MAX as usize * Priority::COUNT;
/// What is queued is numbered from here on; below are the numbers of what was begun, has paused, and is queued again.
pub const PUT_BACK_MAX: u64 = 64;
/// The most messages taken from the driver, and the most handed to it, in one loop turn.
pub const IO_BATCH_MAX: usize = 64;
/// The same, as the drivers' room table has it.
pub const IO_BATCH_ROOM: u32 = 64;
/// The most segments of one coalesced send (`UDP_MAX_SEGMENTS` before Linux 6.9).
pub const GSO_SEGMENTS_MAX: usize = 64;
/// The largest payload of one coalesced send.
pub const GSO_BYTES_MAX: usize = 65_000;
/// The most rows that ride in one kernel batch.
pub const KERNEL_BATCH_MAX: usize = 64;
/// The most packets finished and not yet handed to the driver: one loop turn's work.
pub const EGRESS_PENDING_MAX: usize = 2_048;
/// The most `[[ingress]]` and `[[egress]]` entries, each.
pub const INGRESS_MAX: usize = 64;
/// The most worker threads.
pub const WORKERS_MAX: usize = 1_024;
/// The most kernel instances.
pub const KERNELS_MAX: usize = 64;
/// How old a kernel receive stamp may be before it is taken for a clock fault.
pub const STAMP_AGE_MAX: Nanos = Nanos::from_secs(10);
/// How long a worker may sleep when nothing is due: bounds how stale its heartbeat and its snapshot can be.
pub const PARK_MAX: Nanos = Nanos::from_millis(50);

const _: () = assert!(QUEUE_TOTAL_MAX <= u16::MAX as usize, "queue positions fit 16 bits");
const _: () = assert!(MAX_DATAGRAM_DEFAULT <= DATAGRAM_MAX, "the default must itself be legal");
const _: () = assert!(
    GSO_BYTES_MAX <= DATAGRAM_MAX,
    "a coalesced send is one datagram to the kernel's limits"
);
const _: () = assert!(IO_BATCH_ROOM as usize == IO_BATCH_MAX, "one number in two types");
const _: () =
    assert!(KERNEL_BATCH_MAX <= EGRESS_PENDING_MAX, "a batch's results must fit the send queue");
