//! Who was refused and could still make it: a short list, kept for time that comes free.
//!
//! Knows no line. Bounded: every call looks at each spare once.

use super::Entry;
use crate::base::{DropReason, Instant, Nanos};

/// A refused entry, and why it will have been refused if no time comes free.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spare<T> {
    pub(super) entry: Entry<T>,
    pub(super) why: DropReason,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Spares<T> {
    kept: Vec<Spare<T>>,
    most: usize,
}

impl<T: Copy> Spares<T> {
    pub(super) fn new(most: usize) -> Self {
        Self { kept: Vec::with_capacity(most), most }
    }

    pub(super) const fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether all that could still make it would be done by the last of their deadlines, behind `promised` work.
    pub(super) fn fit(&self, now: Instant, promised: Nanos) -> bool {
        let viable = self.kept.iter().filter(|s| s.entry.is_viable(now));
        let (work, last) = viable.fold((promised, Instant::ZERO), |(work, last), s| {
            (work + s.entry.service, last.max(s.entry.deadline))
        });
        now + work <= last
    }

    /// Keeps one, if it is worth more than the least that is kept. `gone` is told of those that will not be run.
    pub(super) fn keep(&mut self, now: Instant, spare: Spare<T>, mut gone: impl FnMut(Spare<T>)) {
        self.kept.retain(|s| {
            let viable = s.entry.is_viable(now);
            if !viable {
                gone(*s);
            }
            viable
        });
        if self.kept.len() < self.most {
            self.kept.push(spare);
            return;
        }
        // As many as can be kept hardly fit.
        let least = self.kept.iter_mut().min_by_key(|s| s.entry.worth(false));
        match least {
            Some(least) if least.entry.worth(false) < spare.entry.worth(false) => {
                gone(std::mem::replace(least, spare));
            }
            _ => gone(spare),
        }
    }

    /// The best of those that can still make it, and its place. `fit`: see [`Spares::fit`].
    pub(super) fn best(&self, now: Instant, fit: bool) -> Option<(usize, &Entry<T>)> {
        let viable = self.kept.iter().enumerate().filter(|(_, s)| s.entry.is_viable(now));
        let (at, spare) = viable.max_by_key(|(_, s)| s.entry.worth(fit))?;
        Some((at, &spare.entry))
    }

    /// The best, whether or not it can still make it.
    pub(super) fn best_of_all(&self, fit: bool) -> Option<(usize, &Entry<T>)> {
        let all = self.kept.iter().enumerate();
        all.max_by_key(|(_, s)| s.entry.worth(fit)).map(|(at, s)| (at, &s.entry))
    }

    pub(super) fn get(&self, at: usize) -> Option<&Spare<T>> {
        self.kept.get(at)
    }

    /// Takes out the one that is meant, if it is kept.
    pub(super) fn take_if(&mut self, mut is_it: impl FnMut(&T) -> bool) -> Option<Spare<T>> {
        let at = self.kept.iter().position(|s| is_it(&s.entry.item))?;
        self.take(at)
    }

    pub(super) fn take(&mut self, at: usize) -> Option<Spare<T>> {
        (at < self.kept.len()).then(|| self.kept.swap_remove(at))
    }

    #[cfg(test)]
    pub(super) const fn room(&self) -> usize {
        self.kept.capacity()
    }

    /// Any of them: the service stops.
    pub(super) fn pop(&mut self) -> Option<Spare<T>> {
        self.kept.pop()
    }
}
