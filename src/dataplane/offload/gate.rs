//! What stands before a device that is to pay for the way there: the choice by cost, a place in its queue, its breaker.
//!
//! Knows no queue's contents and no device: what a batch costs here and there is an argument. Nothing here waits or allocates.

use std::sync::Arc;

use crate::base::{Instant, KernelId, Nanos};
use crate::kernel::accel::Ended;
use crate::level::breaker::{Outcome, Permit};
use crate::level::spill::{Depth, Lane, Place};
use crate::level::{self, Backend, Breaker, Choice, Fallback, Leveller, Offer, Reason, Spillover};
use crate::sched::RoundTrip;
use crate::stats::WorkerField;

/// What a worker is told of the gate before a device.
#[derive(Clone, Debug)]
pub struct GateOptions {
    /// The rules.
    pub level: level::Options,
    /// The device's breaker: one for all workers.
    pub breaker: Arc<Breaker>,
    /// Batches on their way there, of all workers.
    pub depth: Arc<Depth>,
    /// What the worker's own kernels run on.
    pub core: Backend,
    /// By kernel, what batches of so many rows were measured to take there; the first is one row.
    pub measured: Vec<Vec<(usize, Nanos)>>,
    /// By kernel, elements of a row.
    pub elements: Vec<u64>,
}

/// A batch that might go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    pub(super) now: Instant,
    pub(super) kernel: KernelId,
    pub(super) rows: usize,
    /// What it would cost the worker.
    pub(super) own: Nanos,
    /// The earliest deadline in it.
    pub(super) due: Instant,
    /// What the worker does before.
    pub(super) before: Nanos,
    /// Until the device could begin.
    pub(super) wait: Nanos,
    /// The way there and back, without the device.
    pub(super) way: Nanos,
    /// In the device.
    pub(super) in_device: Nanos,
    /// When the best helper would have done it, if there is one.
    pub(super) helped: Option<Instant>,
}

/// What becomes of it.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It goes.
    Go,
    /// It stays, for this worker or a helper.
    Stay,
    /// Nobody is to run it.
    Reject,
}

/// What a batch on its way holds.
#[derive(Debug)]
pub(super) struct Ticket {
    permit: Permit,
    _place: Place,
    transfer: Nanos,
}

impl Ticket {
    /// The batch is back; says what of its time was transfer.
    pub(super) fn settle(self, now: Instant, took: Nanos, ended: Ended) -> Nanos {
        let outcome = match ended {
            Ended::Run => Outcome::Done,
            Ended::Lost => Outcome::Failed,
        };
        self.permit.settle(now, took, outcome);
        self.transfer
    }
}

/// The gate as one worker has it.
#[derive(Debug)]
pub(super) struct Gate {
    /// One for each kernel.
    levellers: Box<[Leveller]>,
    /// What one row takes there: the launch and what goes with it.
    launch: Box<[Nanos]>,
    elements: Box<[u64]>,
    core: Backend,
    fallback: Fallback,
    spill: Spillover,
    breaker: Arc<Breaker>,
    depth: Arc<Depth>,
    /// A helper's queue: this worker's trips there are its bound.
    beside: Arc<Depth>,
    /// Of the batch that was let through last, until it departs.
    pub(super) ticket: Option<Ticket>,
}

impl Gate {
    pub(super) fn new(options: &GateOptions, times: &mut RoundTrip) -> Self {
        let GateOptions { level, breaker, depth, core, measured, elements } = options;
        for (k, sizes) in (0u16..).zip(measured) {
            sizes.iter().for_each(|(rows, took)| times.begin_with(KernelId(k), *rows, *took));
        }
        let launch = |sizes: &Vec<(usize, Nanos)>| sizes.first().map_or(Nanos::ZERO, |s| s.1);
        Self {
            levellers: vec![Leveller::new(level.choose); measured.len()].into(),
            launch: measured.iter().map(launch).collect(),
            elements: elements.clone().into(),
            core: *core,
            fallback: level.choose.fallback,
            spill: Spillover::new(level.spill),
            breaker: Arc::clone(breaker),
            depth: Arc::clone(depth),
            beside: Arc::default(),
            ticket: None,
        }
    }

    /// Whether a batch goes to the device, and the figure that counts why.
    pub(super) fn judge(&mut self, ask: &Ask) -> (Verdict, WorkerField) {
        let k = ask.kernel.index();
        let launch = self.launch.get(k).map_or(Nanos::ZERO, |l| (*l).min(ask.in_device));
        let (transfer, work) = (ask.way + launch, ask.in_device.saturating_sub(launch));
        let here = Offer {
            backend: self.core,
            work: ask.own,
            work_high: ask.own,
            work_low: ask.own,
            transfer: Nanos::ZERO,
            wait: ask.before,
            open: true,
        };
        let there = Offer {
            backend: Backend::Device,
            work,
            // The spare of gate G4.
            work_high: work + Nanos::new(ask.in_device.get() / 5),
            work_low: work,
            transfer,
            wait: ask.wait,
            open: self.breaker.is_open_to_work(ask.now),
        };
        let elements = self.elements.get(k).copied().unwrap_or(1) * ask.rows as u64;
        let Some(leveller) = self.levellers.get_mut(k) else {
            return (Verdict::Stay, WorkerField::KeptCheaper);
        };
        match leveller.choose(&[here, there], elements, ask.due.since(ask.now)) {
            Choice::Run(Backend::Device, reason) => {
                let done = ask.now + ask.wait + transfer + work;
                self.enter(ask, done, transfer, counted(reason))
            }
            Choice::Run(_, Reason::BreakerOpen) => (Verdict::Stay, WorkerField::KeptBreaker),
            Choice::Run(..) => (Verdict::Stay, WorkerField::KeptCheaper),
            Choice::Late => (Verdict::Stay, WorkerField::KeptLate),
            Choice::Rejected => (Verdict::Reject, WorkerField::KeptRejected),
        }
    }

    /// Takes a place and a permit for a batch that is to go.
    fn enter(
        &mut self,
        ask: &Ask,
        done: Instant,
        transfer: Nanos,
        why: WorkerField,
    ) -> (Verdict, WorkerField) {
        let own = Lane { depth: &self.depth, done, allowed: true };
        let other = Lane {
            depth: &self.beside,
            done: ask.helped.unwrap_or(Instant::MAX),
            allowed: ask.helped.is_some_and(|helped| helped < done),
        };
        let Ok((0, _, place)) = self.spill.route(&[own, other], ask.due) else {
            return (Verdict::Stay, WorkerField::KeptQueue);
        };
        match self.breaker.admit(ask.now, ask.in_device) {
            Ok(permit) => {
                self.ticket = Some(Ticket { permit, _place: place, transfer });
                (Verdict::Go, why)
            }
            Err(_) if self.fallback == Fallback::Reject => {
                (Verdict::Reject, WorkerField::KeptRejected)
            }
            Err(_) => (Verdict::Stay, WorkerField::KeptBreaker),
        }
    }
}

const fn counted(reason: Reason) -> WorkerField {
    match reason {
        Reason::Stays => WorkerField::ChoseStays,
        Reason::Table => WorkerField::ChoseTable,
        Reason::Trial => WorkerField::ChoseTrial,
        Reason::OnlyInTime | Reason::Barely => WorkerField::ChoseInTime,
        Reason::PaysTransfer | Reason::Cheapest | Reason::BreakerOpen => WorkerField::ChosePays,
    }
}

#[cfg(test)]
mod tests;
