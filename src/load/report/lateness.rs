//! How punctual the generator itself was.
//!
//! Knows nothing of answers.

use serde::{Serialize, Serializer};

use super::share;
use crate::base::Nanos;
use crate::load::latencies::Latencies;
use crate::load::plan::Plan;

/// How punctual the generator itself was: actual minus intended send time.
#[derive(Clone, Debug)]
pub struct Lateness {
    /// The lateness of every packet.
    pub lateness: Latencies,
    /// From where on a packet counts as sent late.
    pub late_after: Nanos,
    /// Packets sent late.
    pub late: u64,
    /// The share of packets sent late up to which the result stands.
    pub late_share_max: f64,
    /// Packets that a full window held back: that is counted from the end of it.
    pub held: u64,
}

impl Lateness {
    pub(in crate::load) fn new(plan: &Plan) -> Self {
        let (late_after, late_share_max) = (plan.late_after, plan.late_share_max);
        Self { lateness: Latencies::new(), late_after, late: 0, late_share_max, held: 0 }
    }

    #[inline]
    pub(in crate::load) fn record(&mut self, lateness: Nanos, packets: u64) {
        self.lateness.record_many(lateness, packets);
        if lateness > self.late_after {
            self.late += packets;
        }
    }

    /// More packets were late than a result can bear.
    #[must_use]
    pub fn is_too_late(&self) -> bool {
        self.late_share() > self.late_share_max
    }

    /// Sent late, as a share of the sent; 0 when nothing was sent.
    #[must_use]
    pub fn late_share(&self) -> f64 {
        share(self.late, self.lateness.count())
    }
}

#[derive(Serialize)]
struct LatenessJson<'a> {
    late_after_ns: u64,
    late: u64,
    late_share: f64,
    late_share_max: f64,
    too_late: bool,
    held: u64,
    lateness: &'a Latencies,
}

impl Serialize for Lateness {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let json = LatenessJson {
            late_after_ns: self.late_after.get(),
            late: self.late,
            late_share: self.late_share(),
            late_share_max: self.late_share_max,
            too_late: self.is_too_late(),
            held: self.held,
            lateness: &self.lateness,
        };
        json.serialize(serializer)
    }
}
