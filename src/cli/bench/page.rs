//! The result as a page: which charts there are and what they show.
//!
//! Knows what the figures mean; how a chart is drawn is `report/`'s.

mod charts;
mod ran;

use super::outcome::Outcome;
use super::print;
use super::spread::median;
use crate::report::{Fact, Mood, Page, Remark, Section, TableView};

/// Where overload shows: the load whose charts are drawn for every class.
const OVERLOAD: f64 = 2.0;

/// The page of `outcome`.
pub(super) fn of(outcome: &Outcome) -> Page {
    Page {
        title: title(outcome),
        subtitle: outcome.lab.to_string(),
        facts: facts(outcome),
        remarks: remarks(outcome),
        sections: sections(outcome),
        footer: footer(outcome),
    }
}

fn title(outcome: &Outcome) -> String {
    if outcome.lab.is_ours() {
        "What overload does".to_owned()
    } else {
        format!("Latency of {}", outcome.subjects().join(" and "))
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// The load nearest to `wanted`.
fn nearest(outcome: &Outcome, wanted: f64) -> Option<f64> {
    let distance = |load: &f64| (load.ln() - wanted.ln()).abs();
    outcome.loads().into_iter().min_by(|a, b| distance(a).total_cmp(&distance(b)))
}

fn first_class(outcome: &Outcome) -> String {
    outcome.classes().into_iter().next().unwrap_or_default()
}

fn facts(outcome: &Outcome) -> Vec<Fact> {
    let fact = |label: String, value: String, note: String| Fact { label, value, note };
    let beside = outcome.capacity_ratio().map_or_else(
        || "packets a second that count as 1x".to_owned(),
        |r| format!("packets a second; {:.2} of a bare loop", r.median),
    );
    let mut facts =
        vec![fact("Saturation".to_owned(), format!("{:.0}", outcome.saturation), beside)];
    let Some(load) = nearest(outcome, OVERLOAD) else { return facts };
    let (class, subjects) = (first_class(outcome), outcome.subjects());
    let name = print::title(&class);
    let ours = subjects.iter().rev().find(|s| *s == outcome.ours()).or_else(|| subjects.last());
    let others = || subjects.iter().filter(|s| Some(*s) != ours);
    let beside = |f: &dyn Fn(&str) -> String| {
        others().map(|s| format!("{s} {}", f(s))).collect::<Vec<_>>().join(", ")
    };
    let Some(ours) = ours else { return facts };
    let on_time = |s: &str| percent(outcome.spread(load, s, &class, |c| c.on_time_share).median);
    facts.push(fact(format!("{name} on time at {load}x, {ours}"), on_time(ours), beside(&on_time)));
    let p99 = |s: &str| print::time(outcome.spread(load, s, &class, |c| c.p99_us).median);
    facts.push(fact(format!("{name} p99 at {load}x, {ours}"), p99(ours), beside(&p99)));
    if outcome.lab.is_ours() {
        let useful =
            |s: &str| percent(median(outcome.rounds(load, s).iter().filter_map(|r| r.useful)));
        let note = beside(&useful);
        facts.push(fact(format!("Useful work at {load}x, {ours}"), useful(ours), note));
    }
    facts
}

fn remarks(outcome: &Outcome) -> Vec<Remark> {
    let mut remarks: Vec<Remark> = Vec::new();
    for v in outcome.verdicts() {
        let mood = if v.met() { Mood::Good } else { Mood::Bad };
        let alone = v.alone.map_or_else(String::new, |a| format!(", alone {}", percent(a)));
        let text = format!(
            "{} at {}x: {} {} on time{alone}; useful work {}; {} started late",
            outcome.ours(),
            v.load,
            print::title(&first_class(outcome)),
            percent(v.high),
            percent(v.useful),
            v.started_expired
        );
        remarks.push(Remark { mood, text });
    }
    let disturbed = outcome.noise.0.iter().any(|c| c.share() > outcome.stolen_limit);
    for text in print::noise(outcome) {
        let void = text.starts_with("void runs") && outcome.voids().next().is_some();
        let noisy = text.starts_with("noise") && disturbed;
        remarks.push(Remark { mood: if void || noisy { Mood::Note } else { Mood::Good }, text });
    }
    remarks
}

fn sections(outcome: &Outcome) -> Vec<Section> {
    let mut sections = vec![charts::on_time(outcome), charts::curves(outcome)];
    if outcome.lab.is_ours() {
        sections.push(charts::drops(outcome));
    }
    sections.extend(ran::section(outcome));
    sections.push(Section {
        title: "Every figure".to_owned(),
        text: print::legend(outcome).join(". "),
        charts: Vec::new(),
        table: Some(TableView {
            header: print::header(outcome),
            rows: print::rows(outcome),
            words: 2,
        }),
    });
    sections
}

fn footer(outcome: &Outcome) -> Vec<(String, String)> {
    let entry = |name: &str, value: String| (name.to_owned(), value);
    let machine = &outcome.machine;
    let mut entries = vec![
        entry("Command", format!("punctual {}", outcome.command.join(" "))),
        entry("Program", format!("punctual {}", outcome.program)),
        entry(
            "Processor",
            format!("{}, {} cores for this process", machine.processor, machine.cores),
        ),
        entry("System", format!("Linux {}", machine.linux)),
        entry("Seed", outcome.lab.seed.to_string()),
        entry("Rounds", format!("{} runs, {}", outcome.runs.len(), print::voids(outcome))),
    ];
    if !outcome.lab.forms().is_empty() {
        entries.insert(4, entry("Kernels", outcome.lab.forms().join(", ")));
    }
    if !outcome.lab.driver.is_empty() {
        entries.insert(4, entry("Driver", outcome.lab.driver.clone()));
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[test]
    fn every_part_of_the_result_is_on_the_page() {
        let outcome = testing::outcome(&[0.9, 0.95, 0.99]);
        let html = of(&outcome).render().expect("it is rendered");
        for part in [
            "What overload does",
            "High on time at 2x, edf",
            "95.0 %",
            "Latency by percentile",
            "predicted_miss",
            "95.0 % (92.5-97.0)",
            "punctual bench",
        ] {
            assert!(html.contains(part), "{part} is missing");
        }
        assert_eq!(
            html.matches("<svg").count(),
            4,
            "on time, useful work, one curve, one of drops"
        );
    }
}
