//! One run as a page: which charts there are and what they show.
//!
//! Knows what the figures mean; how a chart is drawn is `report/`'s.

use super::print;
use crate::base::{DropReason, Nanos};
use crate::load::{ClassReport, Interval, Latencies, Report};
use crate::report::{
    Axis, Chart, Fact, Line, Mood, PERCENTILE_TICKS, Page, Plot, Remark, Rule, Scale, Section,
    Stack, TableView, Tone, percentile, short_time,
};

/// The most classes that have charts: as many as there are colours. The table has all.
const DRAWN_MAX: usize = 8;
/// Steps of a percentile curve for each further nine.
const STEPS: u32 = 10;

/// The page of `report`, which `command` made.
pub(super) fn of(report: &Report, command: &str) -> Page {
    let to = report.classes.first().map(|c| c.to.to_string()).unwrap_or_default();
    Page {
        title: format!("Latency of {to}"),
        subtitle: format!(
            "{:.0} packets/s offered of {:.0} for {:.2} s ({}), answered {:.0}/s",
            report.offered_rate, report.rate, report.seconds, report.arrivals, report.answered_rate
        ),
        facts: facts(report),
        remarks: remarks(report),
        sections: vec![curves(report), over_time(report), generator(report), figures(report)],
        footer: vec![
            ("Command".to_owned(), command.to_owned()),
            ("Program".to_owned(), format!("punctual {}", env!("CARGO_PKG_VERSION"))),
            ("Seed".to_owned(), report.seed.to_string()),
        ],
    }
}

fn facts(report: &Report) -> Vec<Fact> {
    let fact =
        |label: &str, value: String, note: String| Fact { label: label.to_owned(), value, note };
    let mut facts = Vec::new();
    if let Some(class) = report.classes.first() {
        let name = &class.name;
        let (corrected, raw) = (class.corrected.at(0.99), class.raw.at(0.99));
        let share = print::percent(class.on_time_share());
        facts.push(fact(&format!("{name} on time"), share, format!("within {}", class.budget)));
        let note = format!("{} from the actual send", print::time(raw));
        facts.push(fact(&format!("{name} p99"), print::time(corrected), note));
    }
    let sent = report.sum(|c| c.sent);
    let lost = report.sum(ClassReport::lost);
    let refused = report.sum(ClassReport::refused_total);
    facts.push(fact("Sent", sent.to_string(), format!("{refused} refused, {lost} lost")));
    let (late, worst) = (report.generator.late_share(), report.generator.lateness.max());
    let note = format!("the worst {}", print::time(worst));
    facts.push(fact("Sent late by the generator", print::percent(late), note));
    facts
}

fn remarks(report: &Report) -> Vec<Remark> {
    let generator = &report.generator;
    let stands = !generator.is_too_late() && !report.gave_up;
    let verdict = if stands {
        format!(
            "the generator kept its times: {} of the packets left over {} late, {} may",
            print::percent(generator.late_share()),
            generator.late_after,
            print::percent(generator.late_share_max)
        )
    } else {
        "this result does not stand: the generator did not keep its times".to_owned()
    };
    let mood = if stands { Mood::Good } else { Mood::Bad };
    let notes = print::notes(report).into_iter().map(|text| Remark { mood: Mood::Note, text });
    std::iter::once(Remark { mood, text: verdict }).chain(notes).collect()
}

/// The classes that have charts, with their places.
fn drawn(report: &Report) -> impl Iterator<Item = (usize, &ClassReport)> {
    report.classes.iter().enumerate().filter(|(_, c)| c.sent > 0).take(DRAWN_MAX)
}

fn line(label: &str, tone: Tone, points: Vec<(f64, f64)>) -> Line {
    let label = label.to_owned();
    Line { label, tone, dashed: false, points, band: Vec::new(), marks: false }
}

fn micros(time: Nanos) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Percentiles by their nines, as far as there are answers to tell them apart.
fn curve(latencies: &Latencies) -> Vec<(f64, f64)> {
    let steps = (0..).map(|i: u32| f64::from(i) / f64::from(STEPS));
    let known = count(latencies.count()).log10().min(5.0);
    steps
        .take_while(|nines| *nines <= known + 1e-9)
        .map(|nines| (nines, micros(latencies.at(1.0 - 10_f64.powf(-nines)))))
        .collect()
}

fn by_percentile(title: &str, note: &str, lines: Vec<Line>, rules: Vec<Rule>) -> Chart {
    let note = note.to_owned();
    Chart {
        title: title.to_owned(),
        note,
        x: Axis::new("percentile", Scale::Linear, percentile).ticks(PERCENTILE_TICKS.to_vec()),
        y: Axis::new("latency", Scale::Log, short_time),
        rules,
        plot: Plot::Lines(lines),
    }
}

fn curves(report: &Report) -> Section {
    let chart = |(_, class): (usize, &ClassReport)| {
        let mut raw = line("actual send", Tone::Control, curve(&class.raw));
        raw.dashed = true;
        let lines = vec![line("intended send", Tone::Hue(0), curve(&class.corrected)), raw];
        let rule = Rule { at: micros(class.budget), label: "budget".to_owned() };
        by_percentile(&class.name, "", lines, vec![rule])
    };
    Section {
        title: "Latency by percentile".to_owned(),
        text: "Of the answers that came: counted from when the request was due, and from when it left. They part where \
               requests left late. What was dropped has no latency; it is not on time."
            .to_owned(),
        charts: drawn(report).filter(|(_, c)| c.answered > 0).map(chart).collect(),
        table: None,
    }
}

/// The intervals of a class that were reached: a run may have been stopped.
fn reached(report: &Report, class: usize) -> impl Iterator<Item = (f64, &Interval)> {
    let length = report.timeline.length().as_secs_f64();
    let at = (0..).map(move |i: u32| (f64::from(i) + 0.5) * length);
    let intervals = report.timeline.of_class(class).iter();
    at.zip(intervals).take_while(move |(at, _)| at - length / 2.0 < report.seconds)
}

fn seconds_axis() -> Axis {
    Axis::new("seconds since the run began", Scale::Linear, |s| {
        format!("{}", (s * 1_000.0).round() / 1_000.0)
    })
}

fn over_time(report: &Report) -> Section {
    let share = |(i, class): (usize, &ClassReport)| {
        let due = reached(report, i).filter(|(_, v)| v.due > 0);
        let points = due.map(|(at, v)| (at, count(v.on_time) / count(v.due))).collect();
        line(&class.name, Tone::Hue(i), points)
    };
    let on_time = Chart {
        title: "On time".to_owned(),
        note: "Of what was due then.".to_owned(),
        x: seconds_axis(),
        y: Axis::new("on time", Scale::Linear, |v| format!("{:.0} %", v * 100.0))
            .range(0.0, 1.02)
            .ticks(vec![0.0, 0.25, 0.5, 0.75, 1.0]),
        rules: Vec::new(),
        plot: Plot::Lines(drawn(report).filter(|(_, c)| !c.one_way).map(share).collect()),
    };
    let longest = |(i, class): (usize, &ClassReport)| {
        let answered = reached(report, i).filter(|(_, v)| v.answered > 0);
        let points = answered.map(|(at, v)| (at, micros(v.latency_max))).collect();
        line(&class.name, Tone::Hue(i), points)
    };
    let latency = Chart {
        title: "The longest latency".to_owned(),
        note: "Counted from the intended send.".to_owned(),
        x: seconds_axis(),
        y: Axis::new("latency", Scale::Log, short_time),
        rules: Vec::new(),
        plot: Plot::Lines(drawn(report).map(longest).collect()),
    };
    let mut charts = vec![on_time, latency];
    charts.extend(missing(report));
    Section { title: "Over time".to_owned(), text: String::new(), charts, table: None }
}

/// What was refused, by reason, and what was neither answered nor refused; all classes together.
fn missing(report: &Report) -> Option<Chart> {
    let length = report.timeline.length().as_secs_f64();
    let places: Vec<f64> = reached(report, 0).map(|(at, _)| at).collect();
    let heights = |of: &dyn Fn(&Interval) -> u64| -> Vec<f64> {
        let mut sums = vec![0; places.len()];
        for class in (0..report.classes.len()).filter(|c| !report.classes[*c].one_way) {
            for (sum, (_, interval)) in sums.iter_mut().zip(reached(report, class)) {
                *sum += of(interval);
            }
        }
        sums.into_iter().map(|n| count(n) / length).collect()
    };
    let refused = DropReason::ALL.iter().map(|reason| {
        let place = reason.index();
        (reason.label(), heights(&move |i: &Interval| i.refused[place]))
    });
    let lost = |i: &Interval| i.due.saturating_sub(i.answered + i.refused.iter().sum::<u64>());
    let all = std::iter::once(("lost", heights(&lost))).chain(refused);
    let some = all.filter(|(_, heights)| heights.iter().any(|h| *h > 0.0));
    let stack = |(i, (label, heights)): (usize, (&str, Vec<f64>))| Stack {
        label: label.to_owned(),
        tone: Tone::Hue(i),
        heights,
    };
    let stacks: Vec<Stack> = some.enumerate().map(stack).collect();
    (places.len() > 1 && !stacks.is_empty()).then(|| Chart {
        title: "Refused and lost".to_owned(),
        note: "Requests that were due then. Lost: neither answered nor refused.".to_owned(),
        x: seconds_axis(),
        y: Axis::new("packets/s", Scale::Linear, thousands),
        rules: Vec::new(),
        plot: Plot::Stacks(places, stacks),
    })
}

fn generator(report: &Report) -> Section {
    let length = report.timeline.of_class(0).len();
    let worst = |i: usize| {
        let of = |c| report.timeline.of_class(c).get(i).map_or(Nanos::ZERO, |v| v.lateness_max);
        (0..report.classes.len()).map(of).max().unwrap_or_default()
    };
    let at = reached(report, 0).map(|(at, _)| at);
    let points = at.zip((0..length).map(worst)).map(|(at, worst)| (at, micros(worst))).collect();
    let allowed = || {
        vec![Rule { at: micros(report.generator.late_after), label: "counts as late".to_owned() }]
    };
    let over_time = Chart {
        title: "The latest packet".to_owned(),
        note: String::new(),
        x: seconds_axis(),
        y: Axis::new("left after its time", Scale::Log, short_time),
        rules: allowed(),
        plot: Plot::Lines(vec![line("generator", Tone::Hue(0), points)]),
    };
    let by_packet = vec![line("generator", Tone::Hue(0), curve(&report.generator.lateness))];
    Section {
        title: "The generator's own lateness".to_owned(),
        text: "By how much packets left after they were due. What a full window held back is not counted here.".to_owned(),
        charts: vec![over_time, by_percentile("By percentile", "", by_packet, allowed())],
        table: None,
    }
}

fn figures(report: &Report) -> Section {
    let header = [
        "class",
        "counted from",
        "sent",
        "on time",
        "late",
        "refused",
        "lost",
        "p50",
        "p90",
        "p99",
        "p99.9",
        "max",
    ];
    let times =
        |l: &Latencies| [l.at(0.5), l.at(0.9), l.at(0.99), l.at(0.999), l.max()].map(print::time);
    let rows = report.classes.iter().flat_map(|c| {
        let counts = [c.sent, c.on_time, c.late(), c.refused_total(), c.lost()];
        let row = |from: &str, latencies: &Latencies| {
            let words = [c.name.clone(), from.to_owned()].into_iter();
            words.chain(counts.map(|n| n.to_string())).chain(times(latencies)).collect()
        };
        [row("intended send", &c.corrected), row("actual send", &c.raw)]
    });
    Section {
        title: "Every figure".to_owned(),
        text: String::new(),
        charts: Vec::new(),
        table: Some(TableView {
            header: header.map(str::to_owned).to_vec(),
            rows: rows.collect(),
            words: 2,
        }),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure in a chart")]
fn count(n: u64) -> f64 {
    n as f64
}

fn thousands(v: f64) -> String {
    if v < 1_000.0 { format!("{v:.0}") } else { format!("{}k", (v / 100.0).round() / 10.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_ends_where_there_are_too_few_answers_to_tell() {
        let mut latencies = Latencies::new();
        assert_eq!(curve(&latencies), []);
        for us in 1..=1_000 {
            latencies.record(Nanos::from_micros(us));
        }
        let curve = curve(&latencies);
        assert_eq!(curve.len(), 31, "three nines of a thousand answers");
        assert!((curve[20].1 - 990.0).abs() < 1.0, "{:?}", curve[20]);
    }
}
