//! One run of the generator with somebody beside it who reads the service's figures, step by step.
//!
//! Knows no policy. Both stay off the service's core.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};

use super::bare::Bare;
use super::stolen::{Stolen, Watch};
use super::timeline::{Recorder, STEP, Timeline};
use crate::base::{Clock as _, Instant, Nanos};
use crate::load::{self, Generator, Plan, Report};
use crate::runtime::Service;
use crate::stats::{Counters, Field, WorkerField};
use crate::sys::clock::MonotonicClock;
use crate::sys::{affinity, realtime};

/// How long answers are waited for: three times the longest budget of the mix. What is lost never comes.
const GRACE: Nanos = Nanos::from_millis(300);

/// Who answers.
#[derive(Clone, Copy)]
pub(in crate::cli) enum Under<'a> {
    /// Our service.
    Service(&'a Service),
    /// The yardstick.
    Bare(&'a Bare),
    /// A server that is not ours.
    Foreign,
}

/// What came of it.
#[derive(Debug)]
pub(in crate::cli) struct Offered {
    pub(in crate::cli) report: Report,
    pub(in crate::cli) stolen: Stolen,
    pub(super) timeline: Timeline,
    /// Answers a second while requests were sent, by the service's own count; none where it has none.
    pub(super) served: Option<f64>,
    /// What our service's first worker had done, one reading a [`STEP`], while requests were sent.
    pub(in crate::cli) worked: Vec<Worked>,
}

/// What a worker has done by some time: its own counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct Worked {
    /// Since the first request was sent.
    pub(in crate::cli) at: Nanos,
    /// By the worker's clock.
    pub(in crate::cli) published_ns: u64,
    pub(in crate::cli) busy_ns: u64,
    pub(in crate::cli) idle_ns: u64,
    pub(in crate::cli) runs: u64,
    pub(in crate::cli) receives: u64,
    pub(in crate::cli) sends: u64,
    pub(in crate::cli) turns: u64,
}

impl Worked {
    fn by(at: Nanos, figures: &Counters) -> Self {
        let of = |f| figures.worker(f);
        Self {
            at,
            published_ns: of(WorkerField::PublishedAt),
            busy_ns: of(WorkerField::BusyTime),
            idle_ns: of(WorkerField::IdleTime),
            runs: of(WorkerField::Runs),
            receives: of(WorkerField::Receives),
            sends: of(WorkerField::Sends),
            turns: of(WorkerField::Turns),
        }
    }
}

/// Where the generator runs.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct Seat {
    pub(in crate::cli) core: usize,
    /// `SCHED_FIFO` priority; 0 for none.
    pub(in crate::cli) priority: u8,
}

/// Runs `plan` from `seat`. `watched` names the thread and the core that serve.
pub(in crate::cli) fn drive(
    plan: &Plan,
    under: Under<'_>,
    seat: Seat,
    watched: (&str, usize),
) -> anyhow::Result<Offered> {
    let stop = Arc::new(AtomicBool::new(false));
    let (tell, told) = channel::<()>();
    let ((ready, is_ready), (begin, begun)) = (channel::<()>(), channel::<Instant>());
    let watch = Watch::start(watched.0, watched.1);
    let start = MonotonicClock.now();
    let (report, seen) = std::thread::scope(|s| {
        let stop_it = Arc::clone(&stop);
        let reader = std::thread::Builder::new()
            .name("punctual-watch".to_owned())
            .spawn_scoped(s, move || {
                read(under, seat, plan.duration, &stop, (&ready, &begun, &told))
            })?;
        // Only then: where real-time threads have both cores, nobody else would start another one.
        let _ = is_ready.recv();
        let generator = std::thread::Builder::new()
            .name("punctual-load".to_owned())
            .spawn_scoped(s, move || generate(plan.clone(), seat, stop_it, &begin))?;
        let report = generator
            .join()
            .unwrap_or_else(|_panic| Err(anyhow::anyhow!("the generator panicked")));
        drop(tell);
        let seen =
            reader.join().map_err(|_panic| anyhow::anyhow!("the reader of figures panicked"))?;
        anyhow::Ok((report?, seen))
    })?;
    let stolen = watch.end(MonotonicClock.now().since(start), &report);
    Ok(Offered {
        report,
        stolen,
        timeline: seen.timeline,
        served: seen.served,
        worked: seen.worked,
    })
}

/// Says when it began to whoever reads figures.
fn generate(
    plan: Plan,
    seat: Seat,
    stop: Arc<AtomicBool>,
    begin: &Sender<Instant>,
) -> anyhow::Result<Report> {
    affinity::pin_current(seat.core)?;
    if seat.priority > 0 {
        realtime::request_fifo(i32::from(seat.priority))?;
    }
    let driver = load::open(&plan)?;
    let mut generator = Generator::new(plan, driver, MonotonicClock)?.stop_when(stop);
    let _ = begin.send(MonotonicClock.now());
    Ok(generator.run(|_| ())?)
}

/// Reads figures until nobody holds the other end of `told`, and ends the wait for answers that do not come. It is `ready`
/// when it has its own priority, and counts from when the generator has `begun`: a reading of afterwards says nothing of what
/// was answered meanwhile.
fn read(
    under: Under<'_>,
    seat: Seat,
    duration: Nanos,
    stop: &AtomicBool,
    (ready, begun, told): (&Sender<()>, &Receiver<Instant>, &Receiver<()>),
) -> Seen {
    // On the generator's core: a few microseconds there make nothing late, on the service's core they would.
    let _ = affinity::pin_current(seat.core);
    if seat.priority > 0 {
        let _ = realtime::request_fifo(i32::from(seat.priority) + 1);
    }
    let mut steps = Steps::start(under);
    let _ = ready.send(());
    // Without a beginning there is nothing to read, and whoever drives says why.
    let Ok(start) = begun.recv() else { return steps.end() };
    let mut next = start + STEP;
    loop {
        let now = MonotonicClock.now();
        if now.since(start) >= duration + GRACE {
            stop.store(true, Ordering::Relaxed);
        }
        match told.recv_timeout(next.since(now).max(Nanos::from_millis(1)).to_std()) {
            Err(RecvTimeoutError::Timeout) => {}
            _ => return steps.end(),
        }
        steps.read(under, start, duration);
        next = next + STEP;
    }
}

/// What was read so far.
struct Steps {
    recorder: Recorder,
    served: Served,
    worked: Vec<Worked>,
}

/// What was read in all.
struct Seen {
    timeline: Timeline,
    served: Option<f64>,
    worked: Vec<Worked>,
}

impl Steps {
    fn start(under: Under<'_>) -> Self {
        let recorder = match under {
            Under::Service(service) => Recorder::start(&service.figures()),
            Under::Bare(_) | Under::Foreign => Recorder::default(),
        };
        Self { recorder, served: Served::default(), worked: Vec::new() }
    }

    fn read(&mut self, under: Under<'_>, start: Instant, duration: Nanos) {
        let count = match under {
            Under::Service(service) => {
                let figures = service.figures();
                self.recorder.read(MonotonicClock.now().since(start), &figures);
                let at = MonotonicClock.now().since(start);
                if let Some(first) = figures.first().filter(|_| at <= duration) {
                    self.worked.push(Worked::by(at, first));
                }
                replied(&figures)
            }
            Under::Bare(bare) => bare.answered(),
            Under::Foreign => return,
        };
        let now = MonotonicClock.now();
        if now.since(start) <= duration {
            self.served.read(now, count);
        }
    }

    fn end(self) -> Seen {
        Seen { timeline: self.recorder.end(), served: self.served.rate(), worked: self.worked }
    }
}

fn replied(figures: &[Counters]) -> u64 {
    let cell = |w: &Counters, i: usize, p| {
        w.view(crate::base::IngressId(u16::try_from(i).unwrap_or(u16::MAX)), p).get(Field::Replied)
    };
    let worker = |w: &Counters| -> u64 {
        (0..w.layout().ingresses())
            .flat_map(|i| crate::base::Priority::ALL.map(|p| cell(w, i, p)))
            .sum()
    };
    figures.iter().map(worker).sum()
}

/// A rate between the first and the last reading.
#[derive(Debug, Default)]
struct Served {
    first: Option<(Instant, u64)>,
    last: Option<(Instant, u64)>,
}

impl Served {
    fn read(&mut self, at: Instant, count: u64) {
        self.first = self.first.or(Some((at, count)));
        self.last = Some((at, count));
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate is shown without its last digits")]
    fn rate(&self) -> Option<f64> {
        let ((from, before), (to, after)) = (self.first?, self.last?);
        let seconds = to.since(from).as_secs_f64();
        (seconds > 0.0).then(|| (after - before) as f64 / seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_needs_two_readings() {
        let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
        let mut served = Served::default();
        assert_eq!(served.rate(), None);
        served.read(at(100), 1_000);
        assert_eq!(served.rate(), None);
        served.read(at(300), 9_000);
        assert_eq!(served.rate(), Some(40_000.0));
    }
}
