//! Seed 001: the priority of a request from what it says of its own size, cost and deadline.
//!
//! Knows nothing of packets. For them, [`WorkloadPriority::LatencyCritical`] is High and `Throughput` is Low.

use crate::base::Priority;

/// Inputs of at most so many bytes are light.
const LIGHT_SIZE_BYTES: usize = 500_000;
/// Requests of at most so many floating-point operations are light.
const LIGHT_FLOPS: u64 = 1_000_000_000;
/// Size × batch of at most so many bytes is light.
const LIGHT_TOTAL_BYTES: usize = 2_000_000;
/// Deadlines below this are critical.
const CRITICAL_BELOW_MS: u64 = 250;
/// In strict mode, deadlines from this on are not.
const RELAXED_FROM_MS: u64 = 5_000;
/// Batches of at most so many items are small.
const SMALL_BATCH: usize = 4;

/// What a request says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestMetadata {
    /// 0 asks for latency; in strict mode 2 and more ask for throughput.
    pub priority: u8,
    /// Milliseconds from now.
    pub sla_deadline: Option<u64>,
    /// Items in the batch.
    pub batch_size: usize,
    /// Bytes of one input.
    pub input_size_bytes: Option<usize>,
    /// Floating-point operations needed.
    pub estimated_flops: Option<u64>,
}

impl Default for RequestMetadata {
    fn default() -> Self {
        Self {
            priority: 1,
            sla_deadline: None,
            batch_size: 1,
            input_size_bytes: None,
            estimated_flops: None,
        }
    }
}

/// Seed 001's two classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkloadPriority {
    /// Answer it soon.
    LatencyCritical,
    /// It may wait to be batched.
    Throughput,
}

impl WorkloadPriority {
    /// The packet priority that stands for it.
    #[must_use]
    #[inline]
    pub const fn priority(self) -> Priority {
        match self {
            Self::LatencyCritical => Priority::High,
            Self::Throughput => Priority::Low,
        }
    }
}

/// Which set of rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Seed 001 to the letter. Every UDP datagram is latency-critical under it, because all are below 500,000 bytes.
    #[default]
    Seed,
    /// What a request says outright goes first, in both directions, and a small batch only counts where nothing is known of
    /// size and cost.
    Strict,
}

/// The priority under `mode`.
#[must_use]
pub fn determine(mode: Mode, metadata: &RequestMetadata) -> WorkloadPriority {
    match mode {
        Mode::Seed => determine_priority(metadata),
        Mode::Strict => determine_strict(metadata),
    }
}

/// Seed 001's order of precedence: explicit 0, deadline below 250 ms, light workload, small batch; else throughput.
/// One difference: size × batch saturates, where the seed's product wraps and makes huge requests light.
#[must_use]
pub fn determine_priority(metadata: &RequestMetadata) -> WorkloadPriority {
    let critical = metadata.priority == 0
        || metadata.sla_deadline.is_some_and(|ms| ms < CRITICAL_BELOW_MS)
        || is_light(metadata)
        || metadata.batch_size <= SMALL_BATCH;
    if critical { WorkloadPriority::LatencyCritical } else { WorkloadPriority::Throughput }
}

fn determine_strict(metadata: &RequestMetadata) -> WorkloadPriority {
    let unknown = metadata.input_size_bytes.is_none() && metadata.estimated_flops.is_none();
    let critical = match (metadata.priority, metadata.sla_deadline) {
        (0, _) => true,
        (2.., _) => false,
        (1, Some(ms)) if ms < CRITICAL_BELOW_MS => true,
        (1, Some(RELAXED_FROM_MS..)) => false,
        _ => is_light(metadata) || (unknown && metadata.batch_size <= SMALL_BATCH),
    };
    if critical { WorkloadPriority::LatencyCritical } else { WorkloadPriority::Throughput }
}

fn is_light(metadata: &RequestMetadata) -> bool {
    let light = |size: usize| {
        size <= LIGHT_SIZE_BYTES || size.saturating_mul(metadata.batch_size) <= LIGHT_TOTAL_BYTES
    };
    metadata.input_size_bytes.is_some_and(light)
        || metadata.estimated_flops.is_some_and(|flops| flops <= LIGHT_FLOPS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use WorkloadPriority::{LatencyCritical, Throughput};

    /// Nothing about it is light or small.
    fn heavy() -> RequestMetadata {
        RequestMetadata {
            priority: 1,
            sla_deadline: None,
            batch_size: 5,
            input_size_bytes: Some(500_001),
            estimated_flops: Some(LIGHT_FLOPS + 1),
        }
    }

    fn check(mode: Mode, want: WorkloadPriority, change: fn(&mut RequestMetadata)) {
        let mut m = heavy();
        change(&mut m);
        assert_eq!(determine(mode, &m), want, "{mode:?} {m:?}");
    }

    #[test]
    fn the_default_is_latency_critical() {
        assert_eq!(determine_priority(&RequestMetadata::default()), LatencyCritical);
    }

    #[test]
    fn the_seeds_thresholds() {
        let check = |want, change| check(Mode::Seed, want, change);
        check(Throughput, |_| {});
        check(LatencyCritical, |m| m.priority = 0);
        check(Throughput, |m| m.priority = 2);
        check(LatencyCritical, |m| m.sla_deadline = Some(249));
        check(Throughput, |m| m.sla_deadline = Some(250));
        check(LatencyCritical, |m| m.input_size_bytes = Some(500_000));
        check(LatencyCritical, |m| m.estimated_flops = Some(1_000_000_000));
        check(Throughput, |m| m.estimated_flops = Some(1_000_000_001));
        check(LatencyCritical, |m| m.batch_size = 4);
        check(Throughput, |m| m.batch_size = 5);
        check(Throughput, |m| {
            m.input_size_bytes = None;
            m.estimated_flops = None;
        });
    }

    #[test]
    fn the_seeds_combined_work() {
        let of = |size, batch| {
            let m = RequestMetadata {
                batch_size: batch,
                input_size_bytes: Some(size),
                ..RequestMetadata::default()
            };
            is_light(&m)
        };
        // Above the light size, the product decides; with a batch of four or less the last rule catches all anyway.
        assert!(of(1_000_000, 2) && !of(1_000_000, 3) && of(2_000_000, 1) && !of(2_000_001, 1));
        assert!(of(500_001, 0), "an empty batch is no work");
    }

    #[test]
    fn a_product_beyond_the_range_is_not_light() {
        // 2^40 × 2^24 wraps to 0 in 64 bits: light, in the seed.
        check(Mode::Seed, Throughput, |m| {
            m.input_size_bytes = Some(1 << 40);
            m.batch_size = 1 << 24;
        });
        check(Mode::Strict, Throughput, |m| {
            m.input_size_bytes = Some(usize::MAX);
            m.batch_size = usize::MAX;
        });
    }

    #[test]
    fn any_datagram_is_latency_critical_in_the_seed() {
        for len in [0, 1, 1_500, 65_507] {
            let m = RequestMetadata {
                priority: 255,
                batch_size: usize::MAX,
                sla_deadline: Some(u64::MAX),
                input_size_bytes: Some(len),
                estimated_flops: None,
            };
            assert_eq!(determine_priority(&m), LatencyCritical);
        }
    }

    #[test]
    fn strict_mode_takes_a_request_at_its_word() {
        let check = |want, change| check(Mode::Strict, want, change);
        check(Throughput, |_| {});
        check(LatencyCritical, |m| m.priority = 0);
        check(Throughput, |m| {
            m.priority = 2;
            m.sla_deadline = Some(1);
            m.input_size_bytes = Some(1);
        });
        check(LatencyCritical, |m| m.sla_deadline = Some(249));
        check(Throughput, |m| m.sla_deadline = Some(250));
        check(LatencyCritical, |m| {
            m.sla_deadline = Some(4_999);
            m.input_size_bytes = Some(1);
        });
        check(Throughput, |m| {
            m.sla_deadline = Some(5_000);
            m.input_size_bytes = Some(1);
        });
        check(LatencyCritical, |m| m.input_size_bytes = Some(500_000));
        check(LatencyCritical, |m| m.estimated_flops = Some(1_000_000_000));
    }

    #[test]
    fn strict_mode_trusts_a_small_batch_only_when_nothing_else_is_known() {
        let small = |size, flops| {
            let m = RequestMetadata {
                batch_size: 4,
                input_size_bytes: size,
                estimated_flops: flops,
                ..RequestMetadata::default()
            };
            determine(Mode::Strict, &m)
        };
        assert_eq!(small(None, None), LatencyCritical);
        assert_eq!(small(Some(2_000_001), None), Throughput);
        assert_eq!(small(None, Some(LIGHT_FLOPS + 1)), Throughput);
        let five = RequestMetadata { batch_size: 5, ..RequestMetadata::default() };
        assert_eq!(determine(Mode::Strict, &five), Throughput);
    }

    #[test]
    fn the_classes_stand_for_high_and_low() {
        assert_eq!(LatencyCritical.priority(), Priority::High);
        assert_eq!(Throughput.priority(), Priority::Low);
    }
}
