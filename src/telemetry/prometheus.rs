//! The `/metrics` body: one collector over our own snapshot, written as OpenMetrics text.
//!
//! Knows no HTTP, and holds nothing between two scrapes: labels are config names and closed lists, so that no packet can
//! make a new series. The format asks for its own content type, [`CONTENT_TYPE`]; Prometheus has read it since 2.5.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabelSet, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::figures;
use super::view::Snapshot;
use crate::base::{DropReason, Nanos, Priority};
use crate::stats::{Cell, CellWords, ClassField, Counters, Field, WorkerField, latency};

/// What the `content-type` header has to say of [`render`]'s text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The snapshot as OpenMetrics text, with its `# EOF`.
///
/// # Errors
/// As the encoder; not to be expected when writing to a string.
pub fn render(snapshot: &Arc<Snapshot>) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Arc::clone(snapshot)));
    let mut text = String::with_capacity(64 * 1024);
    encode(&mut text, &registry)?;
    Ok(text)
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Families(&mut encoder);
        service(self, &mut out)?;
        packets(self, &mut out)?;
        latencies(self, &mut out)?;
        let ids: Vec<String> = (0..self.workers().len()).map(|i| i.to_string()).collect();
        let workers: Vec<Worker<'_>> = ids.iter().map(String::as_str).zip(self.workers()).collect();
        classes(&workers, &mut out)?;
        kernel_time(&workers, &mut out)?;
        loops(self, &workers, &mut out)?;
        super::backends::encode(self, &workers, &mut out)
    }
}

pub(super) type Worker<'a> = (&'a str, &'a Counters);
type Label<'a> = (&'static str, &'a str);

/// Name without its unit, what it is.
pub(super) type Head = (&'static str, &'static str);

pub(super) struct Families<'a, 'e>(&'a mut DescriptorEncoder<'e>);

impl Families<'_, '_> {
    pub(super) fn counter<L: EncodeLabelSet, V: EncodeCounterValue>(
        &mut self,
        (name, help): Head,
        unit: Option<&Unit>,
        rows: impl Iterator<Item = (L, V)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, unit, MetricType::Counter)?;
        for (labels, value) in rows {
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&value, None)?;
        }
        Ok(())
    }

    pub(super) fn gauge<L: EncodeLabelSet, V: EncodeGaugeValue>(
        &mut self,
        (name, help): Head,
        unit: Option<&Unit>,
        rows: impl Iterator<Item = (L, V)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, unit, MetricType::Gauge)?;
        for (labels, value) in rows {
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    /// Each row: labels, the sum, and how many lie in each bucket, the last of which has no bound.
    pub(super) fn histogram<L: EncodeLabelSet>(
        &mut self,
        (name, help): Head,
        unit: Option<&Unit>,
        rows: impl Iterator<Item = (L, f64, Vec<(f64, u64)>)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, unit, MetricType::Histogram)?;
        for (labels, sum, buckets) in rows {
            let count = buckets.iter().map(|(_, n)| n).sum();
            family
                .encode_family(&labels)?
                .encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
        }
        Ok(())
    }

    /// A gauge without labels: an empty set of them would be written as `{}`.
    fn single(&mut self, (name, help): Head, unit: Option<&Unit>, value: f64) -> fmt::Result {
        self.0.encode_descriptor(name, help, unit, MetricType::Gauge)?.encode_gauge(&value)
    }
}

fn service(snapshot: &Snapshot, out: &mut Families<'_, '_>) -> fmt::Result {
    out.0
        .encode_descriptor("punctual_build", "The program.", None, MetricType::Info)?
        .encode_info(&[("version", snapshot.names().version)])?;
    let uptime = snapshot.uptime().as_secs_f64();
    out.single(("punctual_uptime", "Time since the start."), Some(&Unit::Seconds), uptime)?;
    let by_kernel = snapshot.services().iter().map(|s| {
        let kernel = snapshot.names().kernels.get(s.kernel.index());
        (service_labels(s.priority, kernel.map_or("unknown", String::as_str)), s.ema)
    });
    let by_class = Priority::ALL.into_iter().filter_map(|p| {
        let ema = snapshot.service(p).filter(|_| snapshot.services().is_empty())?;
        Some((service_labels(p, "all"), ema))
    });
    let rows = by_kernel.chain(by_class).map(|(labels, ema)| (labels, ema.as_secs_f64()));
    let help = "Moving average of the service time; kernel \"all\" where it is kept by priority.";
    out.gauge(("punctual_service", help), Some(&Unit::Seconds), rows)
}

fn service_labels(priority: Priority, kernel: &str) -> [Label<'_>; 2] {
    [("priority", priority.label()), ("kernel", kernel)]
}

fn packets(snapshot: &Snapshot, out: &mut Families<'_, '_>) -> fmt::Result {
    for (head, field) in CELL_COUNTERS {
        let rows = snapshot.cells().map(|(i, p, cell)| (at(i, p), cell.get(field)));
        out.counter(head, None, rows)?;
    }
    let rows = snapshot.cells().map(|(i, p, cell)| (at(i, p), cell.get(Field::InFlight)));
    let help = "Packets received and neither completed nor dropped.";
    out.gauge(("punctual_packets_in_flight", help), None, rows)?;

    let rows = snapshot.cells().flat_map(|(i, p, cell)| {
        [("on_time", Field::OnTime), ("late", Field::Late)]
            .map(|(outcome, field)| (with(at(i, p), ("outcome", outcome)), cell.get(field)))
    });
    let help = "Packets replied or forwarded, by whether they made their deadline.";
    out.counter(("punctual_packets_completed", help), None, rows)?;

    // All reasons of a class that is in use, none of one that is not: which series there are then does not depend on what
    // is dropped, and a service with many ingresses does not show thousands of lines of nothing.
    let rows = snapshot.cells().filter(|(_, _, cell)| figures::is_used(cell));
    let rows = rows.flat_map(|(i, p, cell)| {
        DropReason::ALL
            .iter()
            .map(move |r| (with(at(i, p), ("reason", r.label())), dropped(&cell, *r)))
    });
    let help = "Packets not answered, by reason. Those with reason rx_kernel_overflow never \
                reached the process and are not part of received.";
    out.counter(("punctual_packets_dropped", help), None, rows)
}

fn at(ingress: &str, priority: Priority) -> [Label<'_>; 2] {
    [("ingress", ingress), ("priority", priority.label())]
}

const fn with<'a>([a, b]: [Label<'a>; 2], c: Label<'a>) -> [Label<'a>; 3] {
    [a, b, c]
}

fn dropped(cell: &Cell<&CellWords>, reason: DropReason) -> u64 {
    let in_kernel = match reason {
        DropReason::RxKernelOverflow => cell.get(Field::KernelDropped),
        _ => 0,
    };
    cell.dropped(reason) + in_kernel
}

const CELL_COUNTERS: [(Head, Field); 5] = [
    (("punctual_packets_received", "Packets that reached the process."), Field::Received),
    (("punctual_packets_replied", "Packets answered to their sender."), Field::Replied),
    (("punctual_packets_forwarded", "Packets sent on."), Field::Forwarded),
    (
        ("punctual_receive_stamps_missing", "Packets without a receive stamp from the kernel."),
        Field::StampMissing,
    ),
    (
        ("punctual_clock_anomalies", "Packets whose receive stamp a clock step made unbelievable."),
        Field::ClockAnomaly,
    ),
];

fn latencies(snapshot: &Snapshot, out: &mut Families<'_, '_>) -> fmt::Result {
    let help = "Time from the kernel's receive stamp to the result.";
    let unit = Some(&Unit::Seconds);
    let used = snapshot.cells().filter(|(_, _, c)| figures::is_used(c));
    let rows = used.map(|(ingress, priority, cell)| {
        let bound = |i| latency::upper_bound(i).map_or(f64::INFINITY, Nanos::as_secs_f64);
        let buckets = cell.latencies().iter().enumerate().map(|(i, n)| (bound(i), *n)).collect();
        let sum = Nanos::new(cell.get(Field::LatencySum)).as_secs_f64();
        (at(ingress, priority), sum, buckets)
    });
    out.histogram(("punctual_latency", help), unit, rows)
}

fn classes(workers: &[Worker<'_>], out: &mut Families<'_, '_>) -> fmt::Result {
    let rows = |field| each_class(workers).map(move |(labels, c, p)| (labels, c.class(p, field)));
    for (head, field) in CLASS_GAUGES {
        out.gauge(head, None, rows(field))?;
    }
    let guard = rows(ClassField::GuardWindow).map(|(l, ns)| (l, Nanos::new(ns).as_secs_f64()));
    let help = "How long a packet of the class may wait for one of High.";
    out.gauge(("punctual_guard_window", help), Some(&Unit::Seconds), guard)?;
    let margin = rows(ClassField::Margin).map(|(l, ns)| (l, Nanos::new(ns).as_secs_f64()));
    let help = "How much sooner than its deadline what is promised must be expected to end.";
    out.gauge(("punctual_margin", help), Some(&Unit::Seconds), margin)?;
    for (head, field) in CLASS_COUNTERS {
        out.counter(head, None, rows(field))?;
    }
    for (head, ratio) in CLASS_RATIOS {
        let known = each_class(workers).filter_map(|(l, c, p)| Some((l, ratio(c, p)?)));
        out.gauge(head, None, known)?;
    }
    Ok(())
}

fn each_class<'a>(
    workers: &'a [Worker<'a>],
) -> impl Iterator<Item = ([Label<'a>; 2], &'a Counters, Priority)> {
    workers.iter().flat_map(|(id, c)| {
        Priority::ALL.into_iter().map(|p| ([("worker", *id), ("priority", p.label())], *c, p))
    })
}

const CLASS_GAUGES: [(Head, ClassField); 2] = [
    (("punctual_queue_depth", "Packets queued."), ClassField::Depth),
    (("punctual_quota", "Packets that may be queued."), ClassField::Quota),
];

type Ratio = fn(&Counters, Priority) -> Option<f64>;
const CLASS_RATIOS: [(Head, Ratio); 2] = [
    (
        (
            "punctual_wrongful_drop_ratio",
            "Of the predicted misses drawn to be looked into, the share that was in time.",
        ),
        figures::wrongful_drop_ratio,
    ),
    (
        (
            "punctual_late_after_admit_ratio",
            "Share of what was admitted that was late all the same.",
        ),
        figures::late_after_admit_ratio,
    ),
];

const CLASS_COUNTERS: [(Head, ClassField); 8] = [
    (
        ("punctual_arrivals", "Packets that came to the queue, admitted or not."),
        ClassField::Arrivals,
    ),
    (("punctual_admitted", "Packets that went into the queue."), ClassField::Admitted),
    (("punctual_probes", "Packets admitted against the prediction."), ClassField::Probes),
    (
        ("punctual_audits", "Packets run although they had been predicted to be late."),
        ClassField::Audits,
    ),
    (("punctual_audits_in_time", "Of those, packets in time."), ClassField::AuditsInTime),
    (
        (
            "punctual_audited_choices",
            "Packets drawn for an audit that had been refused by choice: nothing was predicted of them.",
        ),
        ClassField::AuditedChoices,
    ),
    (("punctual_guarded", "Waits within the guard window."), ClassField::Guarded),
    (
        ("punctual_started_expired", "Packets started after their deadline."),
        ClassField::StartedExpired,
    ),
];

fn kernel_time(workers: &[Worker<'_>], out: &mut Families<'_, '_>) -> fmt::Result {
    let rows = each_class(workers).flat_map(|(labels, c, p)| {
        let useful = Nanos::new(c.class(p, ClassField::KernelTimeUseful));
        let wasted = Nanos::new(c.class(p, ClassField::KernelTime)).saturating_sub(useful);
        [("true", useful), ("false", wasted)]
            .map(|(is, time)| (with(labels, ("useful", is)), time.as_secs_f64()))
    });
    let help = "Time in kernels; useful where the packet then finished on time.";
    out.counter(("punctual_kernel_time", help), Some(&Unit::Seconds), rows)
}

fn loops(snapshot: &Snapshot, workers: &[Worker<'_>], out: &mut Families<'_, '_>) -> fmt::Result {
    let label = |id| [("worker", id)];
    for (head, field) in WORKER_COUNTERS {
        out.counter(head, None, workers.iter().map(|(id, c)| (label(*id), c.worker(field))))?;
    }
    let generation =
        workers.iter().map(|(id, c)| (label(*id), c.worker(WorkerField::PlanGeneration)));
    out.gauge(("punctual_plan_generation", "The plan in force."), None, generation)?;

    let pinned = workers.iter().map(|(id, c)| (label(*id), c.worker(WorkerField::Pinned)));
    out.gauge(
        ("punctual_worker_pinned", "1 where it got its own core at the start."),
        None,
        pinned,
    )?;

    let seconds = Some(&Unit::Seconds);
    let span = |field: WorkerField| {
        workers.iter().map(move |(id, c)| (label(*id), Nanos::new(c.worker(field)).as_secs_f64()))
    };
    let busy = ("punctual_worker_busy", "Time in kernels.");
    out.counter(busy, seconds, span(WorkerField::BusyTime))?;
    let idle = ("punctual_worker_idle", "Time with nothing to do, looking or asleep.");
    out.counter(idle, seconds, span(WorkerField::IdleTime))?;
    let overhead = ("punctual_overhead", "Moving average of a packet's cost outside its kernel.");
    out.gauge(overhead, seconds, span(WorkerField::OverheadEma))?;
    let gap = ("punctual_gap_max", "The longest time that was taken from the loop.");
    out.gauge(gap, seconds, span(WorkerField::GapMax))?;

    let of_possible = workers.iter().flat_map(|(id, c)| {
        OF_POSSIBLE.into_iter().filter_map(|(by, reached, possible)| {
            let ratio = figures::share(c.worker(reached), c.worker(possible))?;
            Some(([("worker", *id), ("by", by)], ratio))
        })
    });
    let help = "What the last second had on time, by the most that it could have had.";
    out.gauge(("punctual_of_possible_ratio", help), None, of_possible)?;

    let now = snapshot.now().as_nanos();
    let age = workers.iter().map(|(id, c)| {
        let age = now.saturating_sub(c.worker(WorkerField::PublishedAt));
        (label(*id), Nanos::new(age).as_secs_f64())
    });
    out.gauge(("punctual_snapshot_age", "How old the worker's figures are."), seconds, age)
}

const OF_POSSIBLE: [(&str, WorkerField, WorkerField); 2] = [
    ("packets", WorkerField::OnTime, WorkerField::Possible),
    ("value", WorkerField::ValueOnTime, WorkerField::ValuePossible),
];

const WORKER_COUNTERS: [(Head, WorkerField); 12] = [
    (("punctual_worker_turns", "Loop turns."), WorkerField::Turns),
    (("punctual_worker_parks", "Times that the loop slept."), WorkerField::Parks),
    (("punctual_worker_receives", "Messages taken from the driver."), WorkerField::Receives),
    (("punctual_worker_sends", "Messages handed to the driver."), WorkerField::Sends),
    (("punctual_worker_runs", "Kernel runs; a batch is one."), WorkerField::Runs),
    (("punctual_worker_pauses", "Times that a run paused between chunks."), WorkerField::Pauses),
    (("punctual_worker_rearms", "Receives armed again."), WorkerField::Rearms),
    (("punctual_worker_gaps", "Times that the loop was held up from outside."), WorkerField::Gaps),
    (("punctual_away_packets", "Packets handed to helpers or the GPU."), WorkerField::AwayRows),
    (("punctual_away_lost", "Of those, packets that were not run there."), WorkerField::AwayLost),
    (("punctual_away_late", "Of those, packets back after their deadline."), WorkerField::AwayLate),
    (
        ("punctual_away_given_up", "Of those, packets that their flows have gone on without."),
        WorkerField::GapsGivenUp,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Instant, KernelId};
    use crate::telemetry::grammar::check;
    use crate::telemetry::testing;
    use crate::telemetry::view::{Names, Service};

    fn text(snapshot: Snapshot) -> String {
        render(&Arc::new(snapshot)).unwrap()
    }

    #[track_caller]
    fn has(text: &str, line: &str) {
        assert!(text.lines().any(|l| l == line), "no line {line:?} in\n{text}");
    }

    #[test]
    fn agreed_names_and_labels_are_golden() {
        let text = text(testing::snapshot());
        let at = r#"ingress="orders",priority="high""#;
        for line in [
            r#"punctual_build_info{version="1.2.3"} 1"#,
            r#"punctual_queue_depth{worker="0",priority="high"} 2"#,
            r#"punctual_quota{worker="0",priority="high"} 7"#,
            r#"punctual_guard_window_seconds{worker="0",priority="high"} 0.00008"#,
            r#"punctual_guard_window_seconds{worker="1",priority="best-effort"} 0.0"#,
            r#"punctual_margin_seconds{worker="0",priority="high"} 0.00003"#,
            r#"punctual_service_seconds{priority="high",kernel="all"} 0.0001"#,
            r#"punctual_packets_received_total{ingress="idle",priority="low"} 0"#,
            r#"punctual_kernel_time_seconds_total{worker="0",priority="high",useful="false"} 0.0001"#,
            r#"punctual_audits_in_time_total{worker="0",priority="high"} 1"#,
            r#"punctual_audited_choices_total{worker="0",priority="high"} 12"#,
            r#"punctual_wrongful_drop_ratio{worker="0",priority="high"} 0.0625"#,
            r#"punctual_late_after_admit_ratio{worker="0",priority="high"} 0.05"#,
            r#"punctual_of_possible_ratio{worker="0",by="packets"} 0.9"#,
            r#"punctual_of_possible_ratio{worker="0",by="value"} 0.75"#,
            r#"punctual_worker_busy_seconds_total{worker="0"} 0.5"#,
            r#"punctual_worker_idle_seconds_total{worker="0"} 0.25"#,
            r#"punctual_worker_pinned{worker="0"} 1"#,
            r#"punctual_worker_pinned{worker="1"} 0"#,
            r#"punctual_snapshot_age_seconds{worker="0"} 0.001"#,
            r#"punctual_backend_dispatches_total{worker="0",backend="cpu"} 0"#,
            r#"punctual_backend_dispatches_total{worker="0",backend="helper"} 3"#,
            r#"punctual_backend_rows_total{worker="0",backend="cpu"} 70"#,
            r#"punctual_kernel_dispatches_total{worker="0",backend="cpu",kernel="crc32c"} 3"#,
            r#"punctual_kernel_rows_total{worker="0",backend="cpu",kernel="crc32c"} 70"#,
            r#"punctual_backend_batch_sum{worker="0",backend="cpu"} 70.0"#,
            r#"punctual_backend_batch_count{worker="0",backend="cpu"} 3"#,
            r#"punctual_backend_batch_bucket{le="2.0",worker="0",backend="cpu"} 0"#,
            r#"punctual_backend_batch_bucket{le="4.0",worker="0",backend="cpu"} 2"#,
            r#"punctual_backend_batch_bucket{le="+Inf",worker="0",backend="cpu"} 3"#,
            "punctual_uptime_seconds 2.0",
            "# TYPE punctual_packets_dropped counter",
            "# UNIT punctual_latency_seconds seconds",
        ] {
            has(&text, line);
        }
        for (name, more, value) in [
            ("packets_received_total", "", "13"),
            ("packets_completed_total", r#",outcome="on_time""#, "5"),
            ("packets_completed_total", r#",outcome="late""#, "1"),
            ("packets_dropped_total", r#",reason="predicted_miss""#, "3"),
            ("packets_dropped_total", r#",reason="shutdown""#, "0"),
            ("packets_in_flight", "", "2"),
            ("latency_seconds_sum", "", "3.000913"),
            ("latency_seconds_count", "", "6"),
        ] {
            has(&text, &format!("punctual_{name}{{{at}{more}}} {value}"));
        }
        for (le, n) in
            [("0.000002", 0), ("0.000004", 4), ("0.000512", 4), ("0.001024", 5), ("+Inf", 6)]
        {
            has(&text, &format!("punctual_latency_seconds_bucket{{le=\"{le}\",{at}}} {n}"));
        }
    }

    #[test]
    fn kernel_drops_are_a_reason_of_their_own_and_names_are_escaped() {
        let text = text(testing::snapshot());
        let at = r#"ingress="bulk \"b\"",priority="best-effort""#;
        let line =
            format!("punctual_packets_dropped_total{{{at},reason=\"rx_kernel_overflow\"}} 6");
        has(&text, &line);
        has(&text, &format!("punctual_packets_received_total{{{at}}} 0"));
        let help =
            text.lines().find(|l| l.starts_with("# HELP punctual_packets_dropped ")).unwrap();
        assert!(help.contains("not part of received"), "{help}");
    }

    #[test]
    fn service_times_carry_their_kernel_where_it_is_known() {
        let services = [(0, 50), (9, 60)].map(|(kernel, us)| Service {
            priority: Priority::Low,
            kernel: KernelId(kernel),
            ema: Nanos::from_micros(us),
        });
        let text = text(testing::snapshot().with_services(services.to_vec()));
        has(&text, r#"punctual_service_seconds{priority="low",kernel="crc32c"} 0.00005"#);
        has(&text, r#"punctual_service_seconds{priority="low",kernel="unknown"} 0.00006"#);
        assert!(!text.contains("kernel=\"all\""));
    }

    #[test]
    fn every_line_keeps_to_the_grammar() {
        let families = check(&text(testing::snapshot()));
        assert!(families.len() > 25, "{families:?}");
        let none =
            Snapshot::new(Arc::new(Names::default()), Instant::ZERO, Nanos::ZERO, Vec::new());
        assert_eq!(check(&text(none)), families, "families are there before the first packet");
    }

    #[test]
    fn what_is_dropped_makes_no_new_series() {
        let series = |s: Snapshot| text(s).lines().filter(|l| !l.starts_with('#')).count();
        let workers = |reasons: &[DropReason]| {
            let mut workers = testing::snapshot().workers().to_vec();
            for r in reasons {
                workers[0].cell(crate::base::IngressId(0), Priority::High).drop(*r, 1_000);
            }
            let names = Arc::new(testing::snapshot().names().clone());
            Snapshot::new(names, Instant::ZERO, Nanos::ZERO, workers)
        };
        assert_eq!(series(workers(&[])), series(workers(DropReason::ALL)));
    }
}
