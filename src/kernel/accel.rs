//! A device beside the workers' cores: whole batches go in, and come back later.
//!
//! Knows no thread and no clock: one thread owns a device, and says for how long it may wait. Payloads travel as copies, so
//! that a device never holds a worker's memory.

use super::{Row, RowStatus};
use crate::base::{KernelId, Nanos};

/// A batch on its way to a device and back. Made once and used again: filling it allocates nothing.
#[derive(Debug)]
pub struct Staged {
    /// Whose it is: a mark that the device leaves alone.
    pub tag: u64,
    bytes: Vec<u8>,
    rows: Vec<Row>,
    rows_max: usize,
}

impl Staged {
    /// Room for so many rows and so many bytes of payloads and results together.
    #[must_use]
    pub fn new(rows_max: usize, bytes_max: usize) -> Self {
        Self { tag: 0, bytes: vec![0; bytes_max], rows: Vec::with_capacity(rows_max), rows_max }
    }

    /// Takes all rows out.
    pub fn clear(&mut self) {
        self.rows.clear();
    }

    /// The bytes that the next rows of these capacities may take together.
    #[must_use]
    pub fn bytes_left(&self) -> usize {
        self.bytes.len() - self.rows.last().map_or(0, |r| r.start + r.capacity)
    }

    /// Copies a payload in, whose result may grow to `capacity` bytes. Says whether there was room; nothing is changed if not.
    pub fn push(&mut self, payload: &[u8], capacity: usize) -> bool {
        let start = self.rows.last().map_or(0, |r| r.start + r.capacity);
        let capacity = capacity.max(payload.len());
        let room = self.rows.len() < self.rows_max && start + capacity <= self.bytes.len();
        if room {
            self.bytes[start..start + payload.len()].copy_from_slice(payload);
            let status = RowStatus::Failed;
            self.rows.push(Row { start, len: payload.len(), capacity, status });
        }
        room
    }

    /// How many rows there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The payload of row `i` before the run, its result after it.
    #[must_use]
    pub fn bytes_of(&self, i: usize) -> &[u8] {
        let row = self.rows[i];
        &self.bytes[row.start..row.start + row.len]
    }

    /// The memory and the rows, for whoever runs them.
    pub fn parts(&mut self) -> (&mut [u8], &mut [Row]) {
        (&mut self.bytes, &mut self.rows)
    }
}

/// How a batch came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Every row is done, or failed on its own.
    Run,
    /// The device did not run it, or nobody can tell: the rows are as they were.
    Lost,
}

/// What a device is good for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Takes batches.
    Ready,
    /// A batch is overdue: takes no more until it is back.
    Suspect,
    /// It was lost, or answered wrongly: takes none.
    Down,
}

/// A device. All of its calls are made by the one thread that owns it.
pub trait Accelerator: Send + std::fmt::Debug {
    /// Whether it has a form of that kernel.
    fn runs(&self, kernel: KernelId) -> bool;

    /// The most rows of a batch.
    fn rows_max(&self) -> usize;

    /// The most batches that it takes before the first is back.
    fn in_flight_max(&self) -> usize;

    /// Starts a batch.
    ///
    /// # Errors
    /// The batch, unchanged, when the device does not take it now.
    fn submit(&mut self, kernel: KernelId, staged: Box<Staged>) -> Result<(), Box<Staged>>;

    /// Hands over the batches that are back, oldest first. Waits for at most `wait` where none is.
    fn poll(&mut self, wait: Nanos, back: &mut dyn FnMut(Box<Staged>, Ended));

    /// What it is good for.
    fn health(&self) -> Health;

    /// Tries to bring a device that is down back, and says whether it is: a self-test decides. May take tens of milliseconds.
    fn revive(&mut self) -> bool;
}

impl<A: Accelerator + ?Sized> Accelerator for Box<A> {
    fn runs(&self, kernel: KernelId) -> bool {
        (**self).runs(kernel)
    }

    fn rows_max(&self) -> usize {
        (**self).rows_max()
    }

    fn in_flight_max(&self) -> usize {
        (**self).in_flight_max()
    }

    fn submit(&mut self, kernel: KernelId, staged: Box<Staged>) -> Result<(), Box<Staged>> {
        (**self).submit(kernel, staged)
    }

    fn poll(&mut self, wait: Nanos, back: &mut dyn FnMut(Box<Staged>, Ended)) {
        (**self).poll(wait, back);
    }

    fn health(&self) -> Health {
        (**self).health()
    }

    fn revive(&mut self) -> bool {
        (**self).revive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_lie_side_by_side_and_never_past_the_room() {
        let mut staged = Staged::new(3, 32);
        assert!(staged.push(b"abc", 8));
        assert!(staged.push(b"0123456789", 4));
        assert!(!staged.push(b"this is too long", 0), "32 bytes");
        assert!(staged.push(b"xy", 2));
        assert!(!staged.push(b"", 0), "three rows");
        assert_eq!(staged.bytes_left(), 32 - 8 - 10 - 2);
        assert_eq!((staged.bytes_of(0), staged.bytes_of(1)), (&b"abc"[..], &b"0123456789"[..]));
        assert_eq!(staged.rows()[1].start, 8);
        staged.clear();
        assert!(staged.is_empty() && staged.push(b"again", 32));
    }
}
