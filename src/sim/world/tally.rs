//! What the world counts of each stream, by itself: not from the worker's own figures.
//!
//! Knows no law and no table.

use hdrhistogram::Histogram;

use crate::base::Nanos;

/// The longest latency that is told apart, in microseconds: 60 s.
const LONGEST_US: u64 = 60_000_000;

/// One stream's counts.
#[derive(Clone, Debug)]
pub struct StreamTally {
    /// Left their clients; a duplicate counts once.
    pub offered: u64,
    /// Lost on the link.
    pub lost: u64,
    /// Dropped by a full socket.
    pub overflowed: u64,
    /// Handed to a worker.
    pub handed: u64,
    /// Answers that left by their deadline. Classes that enforce none: all answers.
    pub on_time: u64,
    /// Answers that left later.
    pub late: u64,
    /// Kernel time asked for by what was on time, nanoseconds.
    pub useful_ns: u64,
    /// From the socket to the answer, microseconds.
    pub latency: Histogram<u64>,
}

impl StreamTally {
    fn new() -> Self {
        // Two digits: about 1 % of error. No bound given here can be refused.
        let latency = Histogram::new_with_bounds(1, LONGEST_US, 2)
            .unwrap_or_else(|_| unreachable!("1 to 60 s at two digits"));
        Self {
            offered: 0,
            lost: 0,
            overflowed: 0,
            handed: 0,
            on_time: 0,
            late: 0,
            useful_ns: 0,
            latency,
        }
    }

    /// Adds another worker's.
    pub(super) fn merge(&mut self, other: &Self) {
        self.offered += other.offered;
        self.lost += other.lost;
        self.overflowed += other.overflowed;
        self.handed += other.handed;
        self.on_time += other.on_time;
        self.late += other.late;
        self.useful_ns += other.useful_ns;
        // The same bounds: cannot fail.
        let _ = self.latency.add(&other.latency);
    }
}

/// One worker's counts.
#[derive(Clone, Debug)]
pub struct Tally {
    /// By stream.
    pub streams: Vec<StreamTally>,
    /// Refusals sent.
    pub refused: u64,
    /// Messages that a full send queue kept.
    pub send_failed: u64,
}

impl Tally {
    pub(super) fn new(streams: usize) -> Self {
        Self { streams: vec![StreamTally::new(); streams], refused: 0, send_failed: 0 }
    }

    pub(super) fn overflowed(&mut self, stream: usize) {
        self.streams[stream].overflowed += 1;
    }

    pub(super) fn handed(&mut self, stream: usize) {
        self.streams[stream].handed += 1;
    }

    pub(super) const fn refused(&mut self) {
        self.refused += 1;
    }

    pub(super) const fn send_failed(&mut self) {
        self.send_failed += 1;
    }

    pub(super) fn answered(&mut self, stream: usize, latency: Nanos, on_time: bool, took: Nanos) {
        let tally = &mut self.streams[stream];
        if on_time {
            tally.on_time += 1;
            tally.useful_ns += took.get();
        } else {
            tally.late += 1;
        }
        tally.latency.saturating_record(latency.as_micros().max(1));
    }

    /// Answers that left, of all streams.
    pub(super) fn answers(&self) -> u64 {
        self.streams.iter().map(|s| s.on_time + s.late).sum()
    }

    /// Datagrams handed to the worker.
    pub(super) fn handed_all(&self) -> u64 {
        self.streams.iter().map(|s| s.handed).sum()
    }

    /// Adds another worker's.
    pub(super) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.streams.iter_mut().zip(&other.streams) {
            mine.merge(theirs);
        }
        self.refused += other.refused;
        self.send_failed += other.send_failed;
    }
}
