//! Why a packet was not answered. A drop is a verdict, not an error: one reason, counted once.

use std::fmt;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $label:literal;)*) => {
        /// The closed list of reasons, in pipeline order. The number is the wire id in a refusal (framed header, byte 7).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum DropReason { $($(#[$doc])* $name = $number,)* }

        impl DropReason {
            /// All reasons, in pipeline order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name in metrics and reports.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }
        }
    };
}

reasons! {
    /// The kernel's socket buffer was full; the packet never reached us. Counted apart from `received`.
    RxKernelOverflow = 0, "rx_kernel_overflow";
    /// Our buffer pool was exhausted.
    RxNoBuffer = 1, "rx_no_buffer";
    /// The datagram was longer than the receive buffer or than `max_datagram`.
    RxTruncated = 2, "rx_truncated";
    /// The datagram is not what its ingress expects (bad header, empty, an answer where a request belongs).
    ParseError = 3, "parse_error";
    /// No rule gave it a priority that this worker serves, or it names a kernel that does not exist.
    Unclassified = 4, "unclassified";
    /// G0: its deadline had passed when it was read.
    ExpiredOnArrival = 5, "expired_on_arrival";
    /// G1: its class has as many packets queued as the quota allows.
    QuotaPriority = 6, "quota_priority";
    /// G1: the worker has as many packets queued as it may hold.
    QuotaTotal = 7, "quota_total";
    /// G2: it cannot finish in time behind the work that goes before it.
    PredictedMiss = 8, "predicted_miss";
    /// It was queued, and gave way to a packet of more value that fits instead.
    Evicted = 9, "evicted";
    /// G3: at the moment of dispatch it could no longer finish in time.
    LateAtDispatch = 10, "late_at_dispatch";
    /// G4: no backend could finish it in time once transfer is counted.
    LateBeforeOffload = 11, "late_before_offload";
    /// The GPU's circuit breaker was open and the fallback is to reject.
    BreakerReject = 12, "breaker_reject";
    /// The kernel could not work on this payload, or panicked.
    KernelError = 13, "kernel_error";
    /// G5: finished after its deadline, and the egress drops late results.
    LateAfterKernel = 14, "late_after_kernel";
    /// It came back after its place in the flow's order had been given up.
    ReorderLate = 15, "reorder_late";
    /// The send queue was full.
    EgressQueueFull = 16, "egress_queue_full";
    /// There is no permitted way out: port 0, our own address, a port that could loop, more bytes out than came in, no session.
    EgressNoRoute = 17, "egress_no_route";
    /// The kernel refused the send.
    EgressError = 18, "egress_error";
    /// The service was stopping and the drain time was over.
    Shutdown = 19, "shutdown";
}

/// The coarse groups of reasons that seed 002's upstream reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropStage {
    /// `ingress_drops`: before the packet was queued.
    Ingress,
    /// `edf_heap_drops`: while queued, or at dispatch, or in the kernel.
    Heap,
    /// `edf_output_drops`: after the kernel.
    Output,
}

impl DropReason {
    /// How many reasons there are.
    pub const COUNT: usize = 20;

    /// The place in a table of counters.
    #[must_use]
    #[inline]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Whether it says that there was too much work, and not that anything was wrong with the packet.
    #[must_use]
    pub const fn is_overload(self) -> bool {
        matches!(
            self,
            Self::ExpiredOnArrival | Self::QuotaPriority | Self::QuotaTotal | Self::PredictedMiss
        )
    }

    /// Whether it says that a packet was let in and then late.
    #[must_use]
    pub const fn is_late_after_admit(self) -> bool {
        matches!(
            self,
            Self::LateAtDispatch
                | Self::LateBeforeOffload
                | Self::LateAfterKernel
                | Self::ReorderLate
        )
    }

    /// The coarse group.
    #[must_use]
    pub const fn stage(self) -> DropStage {
        match self.index() {
            0..=8 => DropStage::Ingress,
            9..=13 => DropStage::Heap,
            _ => DropStage::Output,
        }
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.label())
    }
}

const _: () =
    assert!(DropReason::ALL.len() == DropReason::COUNT, "COUNT sizes every counter table");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_places_in_the_list() {
        for (i, r) in DropReason::ALL.iter().enumerate() {
            assert_eq!(r.index(), i);
        }
    }

    #[test]
    fn roll_ups_follow_the_agreed_cut() {
        assert_eq!(DropReason::PredictedMiss.stage(), DropStage::Ingress);
        assert_eq!(DropReason::Evicted.stage(), DropStage::Heap);
        assert_eq!(DropReason::KernelError.stage(), DropStage::Heap);
        assert_eq!(DropReason::LateAfterKernel.stage(), DropStage::Output);
    }
}
