//! Everything that happens to one worker, in order: always as a hash, and in full where that was asked for.
//!
//! Two runs are the same run when their hashes are.

use std::fmt;

use super::tag::mix;
use crate::base::Instant;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// A datagram reached a full socket.
    Overflow,
    /// The driver handed it to the worker.
    Received,
    /// Its answer left in time.
    OnTime,
    /// Its answer left late.
    Late,
    /// It was sent back unrun, as was asked.
    Refused,
    /// Its answer did not leave: the send queue was full.
    SendFailed,
    /// Another plan came into force; its generation stands in the place of the number.
    Plan,
}

/// An event: when, what, of which stream and flow, and its number in that flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Virtual nanoseconds since the start.
    pub at_ns: u64,
    /// What.
    pub deed: Deed,
    /// Place in [`super::Options::streams`].
    pub stream: u16,
    /// Flow within it.
    pub flow: u32,
    /// Place within the flow.
    pub seq: u64,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at_ns, deed, stream, flow, seq } = self;
        write!(f, "{at_ns}\t{deed:?}\t{stream}\t{flow}\t{seq}")
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Log {
    hash: u64,
    events: u64,
    kept: Option<Vec<Event>>,
}

impl Log {
    pub(super) fn new(record: bool) -> Self {
        Self { hash: 0, events: 0, kept: record.then(Vec::new) }
    }

    #[inline]
    pub(super) fn note(&mut self, at: Instant, deed: Deed, (stream, flow, seq): (u16, u32, u64)) {
        let at_ns = at.since(super::START).get();
        let what = (deed as u64) << 56 | u64::from(stream) << 40 | u64::from(flow);
        self.hash = mix(mix(mix(self.hash, at_ns), what), seq);
        self.events += 1;
        if let Some(kept) = &mut self.kept {
            kept.push(Event { at_ns, deed, stream, flow, seq });
        }
    }

    /// The hash of all events so far.
    pub(super) const fn hash(&self) -> u64 {
        mix(self.hash, self.events)
    }

    pub(super) const fn events(&self) -> u64 {
        self.events
    }

    pub(super) fn take_kept(&mut self) -> Vec<Event> {
        self.kept.take().unwrap_or_default()
    }
}
